#!/usr/bin/env node
import module from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

// From Node 22.8 on, what was compiled is kept for the next run; not in Node's own place, which all users share.
const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
module.enableCompileCache?.(join(cache, 'cove', 'compiled'));

await import('../dist/main.js');
