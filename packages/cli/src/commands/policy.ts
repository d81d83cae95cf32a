// `cove policy`: who may reach what.
import { readFileSync } from 'node:fs';
import type { PolicyRecord } from '@cove/control';
import { Command } from 'commander';
import { callAdmin } from '../adminsocket.ts';
import { CliError } from '../errors.ts';
import { dirOption, jsonOption, print } from './options.ts';

interface Common {
  readonly dir: string;
  readonly json?: true;
}

export function policyCommand(): Command {
  const policy = new Command('policy').description('show and change who may reach what');
  const sub = (usage: string, description: string): Command =>
    policy.command(usage).description(description).addOption(dirOption()).addOption(jsonOption());
  sub('get', 'print the policy').action(async ({ dir, json }: Common) => {
    const record = (await callAdmin(dir, 'GET /policy')) as PolicyRecord;
    print(
      record,
      json,
      () => record.text ?? '// No policy is set: every member reaches everything.',
    );
  });
  sub('check <file>', 'say whether a policy is valid, change nothing').action(
    async (file: string, { dir, json }: Common) => {
      const result = await callAdmin(dir, 'POST /policy/check', { body: { text: read(file) } });
      print(result, json, () => `${file} is valid`);
    },
  );
  sub('set <file>', 'check a policy and put it in force at once').action(
    async (file: string, { dir, json }: Common) => {
      const record = (await callAdmin(dir, 'POST /policy', {
        body: { text: read(file) },
      })) as PolicyRecord;
      print(record, json, () => `the policy is in force (version ${record.version})`);
    },
  );
  sub('unset', 'remove the policy: every member reaches everything').action(
    async ({ dir, json }: Common) => {
      const record = await callAdmin(dir, 'POST /policy', { body: {} });
      print(record, json, () => 'no policy is set: every member reaches everything');
    },
  );
  return policy;
}

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new CliError(
      'ERR_INPUT_FILE',
      `${file} cannot be read: ${error instanceof Error ? error.message : error}`,
      { cause: error },
    );
  }
}
