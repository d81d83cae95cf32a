// Admin calls that concern the coordination server: users, auth keys, nodes, waiting logins, policy.
import type { AuthKeyOptions, ControlServer } from '@cove/control';
import type { AdminHandlers, AdminRequest } from '../adminsocket.ts';
import { CliError } from '../errors.ts';

/** Throws `ERR_REFUSED` where the parameter is missing. */
function needed(request: AdminRequest, name: string): string {
  const value = request.query.get(name);
  if (value === null || value === '')
    throw new CliError('ERR_REFUSED', `the parameter ${name} is missing`);
  return value;
}

async function objectBody(request: AdminRequest): Promise<Record<string, unknown>> {
  const body = await request.json();
  if (typeof body !== 'object' || body === null)
    throw new CliError('ERR_REFUSED', 'the body must be a JSON object');
  return body as Record<string, unknown>;
}

export function controlHandlers(control: ControlServer): AdminHandlers {
  return {
    'GET /users': () => control.listUsers(),
    'GET /authkeys': () => control.listAuthKeys(),
    'POST /authkeys': async (request) =>
      control.createAuthKey(authKeyOptions(await objectBody(request))),
    'POST /authkeys/expire': (request) => control.expireAuthKey(needed(request, 'id')),
    'GET /nodes': () => control.listNodes(),
    'POST /nodes/expire': (request) => control.expireNode(needed(request, 'node')),
    'POST /nodes/delete': (request) => control.deleteNode(needed(request, 'node')),
    'POST /nodes/rename': (request) =>
      control.renameNode(needed(request, 'node'), needed(request, 'name')),
    'POST /nodes/tags': (request) =>
      control.setNodeTags(needed(request, 'node'), request.query.getAll('tag')),
    'GET /pending': () => control.listPending(),
    'POST /pending/approve': (request) => {
      const user = request.query.get('user');
      return control.approve(needed(request, 'id'), user === null ? {} : { user });
    },
    'POST /pending/deny': (request) => control.deny(needed(request, 'id')),
    'GET /policy': () => control.getPolicy(),
    'POST /policy': async (request) => {
      const { text } = await objectBody(request);
      return control.setPolicy(typeof text === 'string' ? text : undefined);
    },
    'POST /policy/check': async (request) => {
      const { text } = await objectBody(request);
      control.validatePolicy(String(text));
      return { valid: true };
    },
    'GET /events': (request) => {
      const after = Number(request.query.get('after') ?? 0);
      return control.listEvents({ after });
    },
  };
}

/** JSON has no infinity: `expiresIn: null` means never. */
function authKeyOptions(body: Record<string, unknown>): AuthKeyOptions {
  const { user, reusable, ephemeral, tags, expiresIn, description } = body;
  return {
    ...(typeof user === 'string' && { user }),
    ...(reusable === true && { reusable }),
    ...(ephemeral === true && { ephemeral }),
    ...(Array.isArray(tags) && tags.length > 0 && { tags: tags.map(String) }),
    ...(expiresIn === null && { expiresIn: Number.POSITIVE_INFINITY }),
    ...(typeof expiresIn === 'number' && { expiresIn }),
    ...(typeof description === 'string' && { description }),
  };
}
