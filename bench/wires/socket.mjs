// A Unix socket of node:net. Each message goes with its length before it, in 4 bytes.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messages } from './messages.mjs';

const HEADER = 4;
// Up to here one copy costs less than a second piece in the stream.
const SMALL = 4096;

/** Gives `take` each message of a stream that comes in chunks of any size. */
function splitter(take) {
  let chunks = [];
  let have = 0;
  let wanted = HEADER;
  return (chunk) => {
    chunks.push(chunk);
    have += chunk.length;
    if (have < wanted) return;
    const all = chunks.length === 1 ? chunk : Buffer.concat(chunks, have);
    let at = 0;
    for (;;) {
      const left = have - at;
      wanted = left < HEADER ? HEADER : HEADER + all.readUInt32LE(at);
      if (left < wanted) break;
      take(all.subarray(at + HEADER, at + wanted));
      at += wanted;
    }
    have -= at;
    chunks = have === 0 ? [] : [all.subarray(at)];
  };
}

function frame(bytes) {
  const framed = Buffer.allocUnsafe(HEADER + bytes.length);
  framed.writeUInt32LE(bytes.length);
  framed.set(bytes, HEADER);
  return framed;
}

const wireOf = (socket) => ({
  send(bytes) {
    if (bytes.length <= SMALL) {
      if (socket.write(frame(bytes))) return Promise.resolve();
    } else {
      const header = Buffer.allocUnsafe(HEADER);
      header.writeUInt32LE(bytes.length);
      socket.cork();
      socket.write(header);
      const more = socket.write(bytes);
      socket.uncork();
      if (more) return Promise.resolve();
    }
    return new Promise((resolve) => socket.once('drain', resolve));
  },
  listen: (take) => socket.on('data', splitter(take)),
  close: () => socket.destroy(),
});

export function near() {
  const folder = mkdtempSync(join(tmpdir(), 'memmap-bench-'));
  const argument = join(folder, 'socket');
  const server = createServer().listen(argument);
  return {
    argument,
    async connect() {
      const [socket] = await once(server, 'connection');
      server.close();
      rmSync(folder, { recursive: true });
      return messages(wireOf(socket));
    },
  };
}

export async function far(path) {
  const socket = connect(path);
  await once(socket, 'connect');
  return messages(wireOf(socket));
}
