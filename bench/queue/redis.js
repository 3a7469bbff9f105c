// A Redis of the bench's own, with the persistence that a queue should have.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function startRedis() {
  const folder = await mkdtemp(join(tmpdir(), 'permafrost-bench-redis-'));
  const port = await freePort();
  const flags = ['--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes'];
  const child = spawn('redis-server', ['--port', `${port}`, ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve, reject) => {
    child.once('error', () =>
      reject(new Error('this scope needs redis-server: apt-get install redis-server')),
    );
    child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}`)));
    child.stdout.on('data', (said) => {
      if (String(said).includes('Ready to accept connections')) resolve();
    });
  });
  const stop = async () => {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  return { port, url: (name) => `redis://127.0.0.1:${port}/${name}`, stop };
}

/** What the server says of itself, as numbers. */
export async function serverFigures(redis) {
  const info = await redis.info();
  const field = (name) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1] ?? 0);
  return {
    cpuMs: 1000 * (field('used_cpu_user') + field('used_cpu_sys')),
    commands: field('total_commands_processed'),
    memoryBytes: field('used_memory'),
    bytesIn: field('total_net_input_bytes'),
    bytesOut: field('total_net_output_bytes'),
  };
}
