// Jest's runner, one test file at a time.
const { default: TestRunner } = require("jest-runner");

module.exports = class SerialRunner extends TestRunner {
  isSerial = true;
};
