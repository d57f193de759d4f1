// Loaded before the programs of a soak that must fail: a mutex that locks nothing, a channel that sends
// one in a hundred messages twice.
'use strict';

const { Channel, Mutex } = require('../../dist/index.js');

const guard = { ownerDied: false, unlock() {}, markConsistent() {} };
Object.assign(Mutex.prototype, { lock: () => guard, lockAsync: () => Promise.resolve(guard) });

const { trySend } = Channel.prototype;
for (const name of ['send', 'sendSync']) {
  const send = Channel.prototype[name];
  Channel.prototype[name] = function (message, options) {
    if (Math.random() < 0.01) trySend.call(this, message);
    return send.call(this, message, options);
  };
}
