// The API's description of itself, OpenAPI 3.1, made of the same operations that are served.
import { PROBLEM } from './model.ts';
import type { Operation } from './operation.ts';

const REASONS: Readonly<Record<number, string>> = {
  200: 'Done.',
  201: 'Made.',
  204: 'Done; there is nothing to say.',
  304: 'As it was when last asked.',
  400: 'Something in the request is wrong.',
  401: 'The token is unknown, expired or revoked.',
  403: 'The caller may not.',
  404: 'There is no such thing.',
  405: 'The service is read-only.',
  409: 'Another link has the name.',
  412: 'The link was changed meanwhile.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
};

/** `root`: path of the API. */
export function openApi(
  operations: readonly Operation[],
  root: string,
  title: string,
): Readonly<Record<string, unknown>> {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const operation of operations) {
    paths[operation.path] ??= {};
    paths[operation.path]![operation.method] = describe(operation);
  }
  return {
    openapi: '3.1.0',
    info: {
      title,
      version: '1',
      description:
        'Callers are known by the tunnel they come through. Scripts on machines without a person bring a token: Authorization: Bearer golink_…',
    },
    servers: [{ url: root }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: { Problem: PROBLEM },
    },
  };
}

function describe(operation: Operation): Readonly<Record<string, unknown>> {
  const { id, summary, path, query = {}, body, status, answer, versioned, method } = operation;
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    ...{ name, in: 'path', required: true, schema: { type: 'string' } },
  }));
  const inQuery = Object.entries(query).map(([name, schema]) => {
    const { description, ...rest } = schema;
    return {
      ...{ name, in: 'query', schema: rest },
      ...(description !== undefined && { description }),
    };
  });
  const condition = {
    ...{ in: 'header', schema: { type: 'string' } },
    name: method === 'get' ? 'If-None-Match' : 'If-Match',
    description: 'An ETag of the link.',
  };
  const takesCondition = versioned === true && method !== 'post';
  return {
    operationId: id,
    summary,
    security: [{}, { token: [operation.scope] }],
    parameters: [...inPath, ...inQuery, ...(takesCondition ? [condition] : [])],
    ...(body !== undefined && {
      requestBody: { required: true, content: { 'application/json': { schema: strict(body) } } },
    }),
    responses: {
      [status]: {
        description: REASONS[status]!,
        ...(answer !== undefined && { content: { 'application/json': { schema: answer } } }),
      },
      ...(versioned === true && method === 'get' && { 304: { description: REASONS[304]! } }),
      ...Object.fromEntries(
        errorsOf(operation).map((code) => [code, { description: REASONS[code]!, ...problem }]),
      ),
    },
  };
}

const problem = {
  content: { 'application/json': { schema: { $ref: '#/components/schemas/Problem' } } },
};

function strict(schema: object): object {
  return { ...schema, additionalProperties: false };
}

/** Statuses of errors that the operation may answer with. */
export function errorsOf({ errors, body }: Operation): readonly number[] {
  const always = [401, 403];
  const withBody = body === undefined ? [] : [400, 413, 415];
  return [...new Set([...errors, ...always, ...withBody])].sort((a, b) => a - b);
}
