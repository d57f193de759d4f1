'use strict';
// Node's environment, in which a time that a test has of its own grows by MEMMAP_TEST_PATIENCE.

const { TestEnvironment } = require('jest-environment-node');

module.exports = class extends TestEnvironment {
  handleTestEvent({ name, test }) {
    if (name === 'test_start' && test.timeout)
      test.timeout *= Number(process.env.MEMMAP_TEST_PATIENCE);
  }
};
