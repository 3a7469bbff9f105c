/**
 * Signals that are the host's to answer: a terminal's Ctrl-C, and what systemd and Slurm send to every
 * process of a job. The host decides what is finished first; when it is gone, so is this process.
 *
 * Imported for its effect, before what takes a while to load.
 */

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});

// Whoever reads what is printed by mistake may leave, which is no reason to end.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
