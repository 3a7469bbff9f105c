/** The outputs of a job that are URLs, and the job's settings with their spools in place of them. */

import { PermafrostError } from '../../protocol/errors.js';
import type { JobOutput, JobSettings, OutputMode } from '../job-settings.js';
import { RemoteOutput } from './remote-output.js';
import { isRemote, shownUrl } from './remote-url.js';

export class RemoteOutputs {
  readonly settings: JobSettings;
  readonly #outputs: readonly RemoteOutput[];

  private constructor(settings: JobSettings, outputs: readonly RemoteOutput[]) {
    this.settings = settings;
    this.#outputs = outputs;
  }

  static async open(settings: JobSettings): Promise<RemoteOutputs> {
    const outputs: RemoteOutput[] = [];
    const localize = async <Output extends JobOutput | null>(output: Output) => {
      if (typeof output !== 'string' || !isRemote(output)) return output;
      if (output === settings.input) {
        const message = `${shownUrl(output)}: the output is the input; name another`;
        throw new PermafrostError('ERR_FILE', message);
      }
      const remote = await RemoteOutput.open(output);
      outputs.push(remote);
      return remote.spool;
    };
    const output = await localize(settings.output);
    const outputErrors = await localize(settings.outputErrors);
    return new RemoteOutputs({ ...settings, output, outputErrors }, outputs);
  }

  /** @throws ERR_FILE */
  async prepare(mode: OutputMode): Promise<void> {
    for (const output of this.#outputs) await output.prepare(mode);
  }

  /** @throws ERR_FILE of the first that failed, when all were tried. */
  async upload(): Promise<void> {
    const uploads = await Promise.allSettled(this.#outputs.map((output) => output.upload()));
    for (const upload of uploads) if (upload.status === 'rejected') throw upload.reason;
  }
}
