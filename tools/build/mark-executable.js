// tsc keeps the shebang but not the file mode that a linked command needs.
import { chmodSync, existsSync } from 'node:fs';

const command = 'dist/cli/main.js';
if (existsSync(command)) chmodSync(command, 0o755);
