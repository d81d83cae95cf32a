// Reading a request's body, never more of it than a limit in memory.
import type { IncomingMessage } from 'node:http';
import { WebError } from './errors.ts';

/**
 * The whole body. Throws WebError ERR_BODY_TOO_LARGE (the rest stays unread: close the connection), ERR_BODY_MALFORMED
 * when the request ends early.
 */
export async function readBody(req: IncomingMessage, limit: number): Promise<Buffer> {
  const tooLarge = (): WebError =>
    new WebError('ERR_BODY_TOO_LARGE', `The body is larger than ${Math.floor(limit / 1024)} KiB.`);
  if (Number(req.headers['content-length'] ?? 0) > limit) throw tooLarge();
  const chunks: Buffer[] = [];
  let size = 0;
  // Not `for await`: leaving such a loop destroys the request, and with it the chance to answer.
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      req.off('data', onData).off('end', onEnd).off('error', onError).off('close', onClose);
      finish();
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > limit) {
        req.pause();
        settle(() => reject(tooLarge()));
      } else chunks.push(chunk);
    };
    const onEnd = (): void => settle(() => resolve(Buffer.concat(chunks)));
    const cutOff = (cause?: Error): WebError =>
      new WebError('ERR_BODY_MALFORMED', 'The request ended early.', cause ? { cause } : {});
    const onError = (cause: Error): void => settle(() => reject(cutOff(cause)));
    const onClose = (): void => settle(() => reject(cutOff()));
    req.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose);
  });
}

/**
 * The body as JSON; undefined when there is none. `limit`: bytes. Throws WebError ERR_BODY_TOO_LARGE, ERR_BODY_TYPE,
 * ERR_BODY_MALFORMED.
 */
export async function readJson(req: IncomingMessage, limit: number): Promise<unknown> {
  const body = await readBody(req, limit);
  if (body.length === 0) return undefined;
  const type = req.headers['content-type'] ?? '';
  if (!/^application\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type))
    throw new WebError('ERR_BODY_TYPE', 'The body must be JSON: Content-Type: application/json.');
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (cause) {
    throw new WebError('ERR_BODY_MALFORMED', 'The body is not JSON.', { cause });
  }
}
