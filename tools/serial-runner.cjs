// Jest's runner, one test file at a time: integration and e2e tests share one Kafka and two cores.
const { default: TestRunner } = require("jest-runner");

module.exports = class SerialRunner extends TestRunner {
  isSerial = true;
};
