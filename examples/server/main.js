// A Fastify server around one engine. POST /generate streams an answer as server-sent events, and
// a client that hangs up ends its request; GET /metrics is for Prometheus. SIGTERM lets the answers
// under way finish. PORT=8080 node examples/server/main.js, and then
//   curl -N localhost:8080/generate -H 'content-type: application/json' -d '{"prompt":"17+25="}'
import { once } from 'node:events';
import { Readable } from 'node:stream';
import Fastify from 'fastify';
import { Engine } from 'permafrost';
import { EngineMetrics } from './metrics.js';

/** The engine checks the rest: every sampling parameter is taken. */
const BODY = { type: 'object', required: ['prompt'], properties: { prompt: { type: 'string' } } };
/** Errors that a client can do something about. */
const CLIENT_ERRORS = new Set(['ERR_BAD_REQUEST', 'ERR_PROMPT_TOO_LONG']);

/** One event for each piece of the answer; the last one says why it ended. */
async function* events(chunks) {
  for await (const { choice, text, finishReason } of chunks) {
    yield `data: ${JSON.stringify({ choice, text, finishReason })}\n\n`;
  }
}

function createServer(engine) {
  const app = Fastify();
  const metrics = new EngineMetrics(engine);
  app.post('/generate', { schema: { body: BODY } }, (request, reply) => {
    const { prompt, ...params } = request.body;
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort());
    const chunks = engine.stream(prompt, { ...params, signal: gone.signal });
    // A connection that stays open behind a long answer would hold up the end of the server.
    reply.header('connection', 'close').type('text/event-stream');
    return reply.send(Readable.from(events(chunks)));
  });
  app.get('/metrics', async (_request, reply) => {
    return reply.type(metrics.contentType).send(await metrics.read());
  });
  app.setErrorHandler((error, _request, reply) => {
    const status = CLIENT_ERRORS.has(error.code) ? 400 : (error.statusCode ?? 500);
    reply.code(status).type('application/json');
    return reply.send({ code: error.code, message: error.message });
  });
  return app;
}

const stopped = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')]);
const engine = await Engine.start({ model: process.env.MODEL ?? 'models/tiny' });
try {
  const app = createServer(engine);
  console.log(`listening on ${await app.listen({ port: Number(process.env.PORT ?? 8080) })}`);
  await stopped;
  await app.close();
} finally {
  await engine.close();
}
