// The smallest program: start an engine, ask three questions at once, print each answer as it
// comes, stop the engine. Run it in the repository's root: node examples/script.js
import { Engine } from 'permafrost';

const prompts = ['17+25=', 'reverse planet =', 'sort 41 7 300 12 ='];
const engine = await Engine.start({ model: 'models/tiny' });
try {
  for await (const row of engine.batch(prompts.map((prompt) => ({ prompt })))) {
    console.log(prompts[row.index], 'error' in row ? row.error.message : row.completion.text);
  }
} finally {
  await engine.close();
}
