// What an application does with this package, in whatever realm this module is loaded: throws when
// something is not as it should be.

function check(what, actual, expected) {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (is !== should) throw new Error(`${what}: ${is}, not ${should}`);
}

async function failure(promise) {
  try {
    await promise;
    return 'no error';
  } catch (error) {
    return error;
  }
}

/** @param files Two paths to write: a job's input and its output; `readFile` and `writeFile`. */
export async function exercise({ Engine, runBatchFile, PermafrostError }, files) {
  const { model, input, output, readFile, writeFile } = files;
  const greedy = { temperature: 0, maxTokens: 8 };
  const engine = await Engine.start({ model, devices: ['cpu'], cpuThreads: 1 });
  try {
    check('text', (await engine.generate('17+25=', greedy)).text, '42');
    const ids = { ...greedy, maxTokens: 4, ignoreEos: true };
    const { tokenIds } = await engine.generate([1, 2, 3], ids);
    check('ids', [Array.isArray(tokenIds), tokenIds.length], [true, 4]);
    const words = await engine.generate(Int32Array.of(1, 2, 3), ids);
    check('words', [...words.tokenIds], [...tokenIds]);

    const controller = new AbortController();
    const endless = { temperature: 0, maxTokens: 400, ignoreEos: true };
    const aborted = engine.generate('17+25=', { ...endless, signal: controller.signal });
    controller.abort();
    check('an aborted request', (await aborted).finishReason, 'abort');

    const schema = {
      type: 'object',
      properties: { toJSON: { type: 'integer' }, constructor: { type: 'boolean' } },
      required: ['toJSON', 'constructor'],
      additionalProperties: false,
    };
    const answer = await engine.generate('1+1=', {
      maxTokens: 60,
      seed: 1,
      responseFormat: { type: 'json_schema', schema },
    });
    if (answer.finishReason === 'stop') {
      check('a JSON answer', Object.keys(JSON.parse(answer.text)), ['toJSON', 'constructor']);
    }
    const messages = [{ role: 'user', content: 'reverse planet =' }];
    const chat = await engine.generate({ messages }, { ...greedy, logprobs: 2, logitBias: { 3: 1 } });
    check('log-probabilities', chat.logprobs.length, chat.tokenIds.length);

    const rows = [];
    const requests = ['17+25=', ''].map((prompt) => ({ prompt, params: greedy }));
    for await (const row of engine.batch(requests)) rows[row.index] = row;
    check('a batch', [rows[0].completion.text, rows[1].error.code], ['42', 'ERR_BAD_REQUEST']);
    let text = '';
    for await (const chunk of engine.stream('17+25=', greedy)) text += chunk.text;
    check('a stream', text, '42');

    const body = { model: 'any', prompt: '17+25=', temperature: 0, max_tokens: 8 };
    const line = { custom_id: 'a', method: 'POST', url: '/v1/completions', body };
    writeFile(input, `${JSON.stringify(line)}\n{"nothing\n`);
    const { succeeded, failed } = await runBatchFile(engine, { input, output });
    check('a batch file', [succeeded, failed], [1, 1]);
    const [first] = readFile(output).split('\n').map((row) => (row === '' ? null : JSON.parse(row)))
      .filter((row) => row?.custom_id === 'a');
    check('its row', first.response.body.choices[0].text, '42');

    const refused = await failure(engine.generate(''));
    check('an error', [refused instanceof PermafrostError, refused.code], [true, 'ERR_BAD_REQUEST']);
    const missing = await failure(runBatchFile(engine, { input: '/nowhere', output: `${output}-2` }));
    check('a missing file', missing.code, 'ERR_FILE');
    if (missing.message.includes('Error:')) throw new Error(`it is told twice: ${missing.message}`);
    const { finishedRequests } = await engine.metrics();
    check('metrics', finishedRequests > 5, true);
  } finally {
    await engine.close();
  }
  const gone = await failure(Engine.start({ model: '/nowhere', devices: ['cpu'] }));
  check('no model', gone.code, 'ERR_MODEL_NOT_FOUND');
  return 'all well';
}
