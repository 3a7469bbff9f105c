import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadTextLayer } from '../../../src/text/text-layer.js';
import { checkpoint, modelFolder } from './checkpoints.js';

interface Reference {
  readonly name: string;
  /** For each text, with the tokenizer's own tokens around it and without. */
  readonly ids: readonly (readonly [number[], number[]])[];
  readonly decoded: readonly string[];
}

interface Case extends Reference {
  readonly sections: Readonly<Record<string, unknown>>;
  readonly config: Readonly<Record<string, unknown>> | null;
}

/** Made by `tools/tokenizers/make-references.py` with the library's Python binding. */
const fixture: {
  readonly texts: readonly string[];
  readonly base: Readonly<Record<string, unknown>>;
  readonly cases: readonly Case[];
  readonly models: readonly Reference[];
} = JSON.parse(
  readFileSync(new URL('../../fixtures/text/tokenizer-references.json', import.meta.url), 'utf8'),
);

/** Of a configuration: what is in the other texts is in other cases. */
const someTexts = [...fixture.texts.slice(0, 4), ...fixture.texts.slice(-3)];

async function expectSame(
  folder: string,
  { ids, decoded }: Reference,
  texts: readonly string[],
): Promise<void> {
  const { tokenizer } = await loadTextLayer(folder);
  if (tokenizer === null) throw new Error('it has a tokenizer');
  const encoded = texts.map(async (text) => [
    [...(await tokenizer.encode(text, { addSpecialTokens: true }))],
    [...(await tokenizer.encode(text, { addSpecialTokens: false }))],
  ]);
  expect(await Promise.all(encoded)).toEqual(ids);
  expect(ids.map(([, plain]) => tokenizer.decode(plain))).toEqual(decoded);
}

describe('ids and text are those of the Rust library and of transformers:', () => {
  test.each(fixture.cases)('$name', async ({ sections, config, ...reference }) => {
    const folder = await checkpoint({
      'tokenizer.json': { ...fixture.base, ...sections },
      ...(config === null ? {} : { 'tokenizer_config.json': config }),
    });
    await expectSame(folder, reference, config === null ? fixture.texts : someTexts);
  });

  test.each(fixture.models)('the model $name', async (reference) => {
    await expectSame(modelFolder(reference.name), reference, fixture.texts);
  });
});
