#!/usr/bin/env node
process.exit();
