/** Which devices an engine runs on. Pure: the listing is made elsewhere. */

import { PermafrostError } from '../protocol/errors.js';
import type { DeviceListing } from '../protocol/messages.js';
import type { DeviceChoice } from '../protocol/options.js';

/** `cpu:0` to `cpu:63` always exist: each is a share of the machine's cores. */
const NUM_CPU_DEVICES = 64;

export interface ResolvedDevices {
  /** At least one. */
  readonly devices: readonly string[];
  /** What the user should know about the choice; null = nothing. */
  readonly warning: string | null;
}

/** Whether the addon has to be asked before devices can be resolved: it may start a CUDA driver. */
export function needsListing(wanted: DeviceChoice): boolean {
  return typeof wanted === 'string' || wanted.some((device) => !isCpuDevice(device));
}

/** Whether a named device exists. */
export function isThere(device: string, listing: DeviceListing | null): boolean {
  return isCpuDevice(device) || (listing?.devices ?? []).some((info) => info.device === device);
}

/**
 * The devices that were asked for; 'auto' takes every CUDA device, and the CPU where there is none;
 * 'cuda' takes every CUDA device.
 * @param listing What the addon sees; null when {@link needsListing} says it need not be asked.
 * @throws ERR_NO_DEVICE when a named device, or any for 'cuda', does not exist.
 */
export function resolveDevices(
  wanted: DeviceChoice,
  listing: DeviceListing | null,
): ResolvedDevices {
  const cudaDevices = (listing?.devices ?? [])
    .filter(({ kind }) => kind === 'cuda')
    .map(({ device }) => device);
  const cudaProblem = describeCudaProblem(listing);
  if (typeof wanted === 'string') {
    if (cudaDevices.length > 0) return { devices: cudaDevices, warning: null };
    if (wanted === 'cuda') {
      throw new PermafrostError('ERR_NO_DEVICE', `there is no CUDA device: ${cudaProblem}`);
    }
    return { devices: ['cpu:0'], warning: `no CUDA device, running on cpu:0: ${cudaProblem}` };
  }
  for (const device of wanted) {
    if (isThere(device, listing)) continue;
    const available = [...cudaDevices, `cpu:0 to cpu:${NUM_CPU_DEVICES - 1}`].join(', ');
    const reason = cudaDevices.length === 0 ? ` (${cudaProblem})` : '';
    throw new PermafrostError(
      'ERR_NO_DEVICE',
      `there is no device '${device}'; available: ${available}${reason}`,
    );
  }
  return { devices: wanted, warning: null };
}

function isCpuDevice(device: string): boolean {
  const match = /^cpu:(\d+)$/.exec(device);
  return match !== null && Number(match[1]) < NUM_CPU_DEVICES;
}

function describeCudaProblem(listing: DeviceListing | null): string {
  if (listing?.cudaProblem) return listing.cudaProblem;
  return listing?.cudaBuilt === false
    ? 'the native addon was built without CUDA'
    : 'the driver lists none';
}
