import fc from 'fast-check';
import { Queue } from '../lib/queue.js';

it('is a list whose first goes first', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(1000)), { maxLength: 300 }), (steps) => {
      const queue = new Queue<number>();
      const model: number[] = [];
      for (const step of steps) {
        if (step === null) {
          queue.shift();
          model.shift();
        } else {
          queue.push(step);
          model.push(step);
        }
        expect([queue.length, queue.first]).toEqual([model.length, model[0]]);
        expect([...queue]).toEqual(model);
      }
    }),
  );
});
