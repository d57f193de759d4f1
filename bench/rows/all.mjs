// Every row, in the order of the table.
import { channel, channelMemcpy } from './channel.mjs';
import { fault } from './fault.mjs';
import { flush } from './flush.mjs';
import { fragmentation } from './fragmentation.mjs';
import { gc } from './gc.mjs';
import { append, grow, search } from './grow.mjs';
import { guardIdle } from './guard-idle.mjs';
import { importing } from './import.mjs';
import { interpose } from './interpose.mjs';
import { latest } from './latest.mjs';
import { mapFileUnmap, mapUnmap, mapViewUnmap } from './map.mjs';
import { mutex } from './mutex.mjs';
import { arena, place, replace } from './place.mjs';
import { randomRead, safeRead } from './read.mjs';
import { registry } from './registry.mjs';
import { regions } from './regions.mjs';
import { rttIpc, rttSleep, rttSpin, wake } from './rtt.mjs';
import { scan, scanReadFile } from './scan.mjs';

export const rows = [
  mapUnmap,
  mapViewUnmap,
  mapFileUnmap,
  scan,
  scanReadFile,
  randomRead,
  safeRead,
  gc,
  registry,
  place,
  replace,
  arena,
  regions,
  flush,
  fault,
  guardIdle,
  fragmentation,
  importing,
  interpose,
  rttSpin,
  rttSleep,
  rttIpc,
  channel,
  channelMemcpy,
  latest,
  mutex,
  wake,
  append,
  grow,
  search,
];
