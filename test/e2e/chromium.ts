// Finds and starts the Chromium of the machine for tests that look at pages. Nothing is downloaded.
import { accessSync, constants } from 'node:fs';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

const COMMON_PATHS = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
];

/** Path of the program: CHROMIUM_PATH, or the first of the usual places; undefined where there is none. */
export function findChromium(): string | undefined {
  const named = process.env['CHROMIUM_PATH'];
  return (named === undefined ? COMMON_PATHS : [named]).find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Why a test is skipped where findChromium finds nothing. */
export const NO_CHROMIUM: string =
  'SKIPPED: no Chromium on this machine; install one or set CHROMIUM_PATH';

/** How long a page may take to open, beside whatever else the machine does. */
const OPENS_WITHIN_MS = 20_000;
const CLOSES_WITHIN_MS = 5_000;
const ATTEMPTS = 3;

/**
 * A browser that is replaced by a new one when it does not open a page: in containers a Chromium now and then never does
 * (microsoft/playwright#42692), and Playwright waits for it without a limit.
 */
export class Chromium {
  readonly #executablePath: string;
  #browser: Browser | undefined;

  constructor(executablePath: string) {
    this.#executablePath = executablePath;
  }

  /** A page in a context of its own; closing the context closes it. */
  async open(options: BrowserContextOptions): Promise<Page> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await within(OPENS_WITHIN_MS, this.#open(options), 'a page of Chromium');
      } catch (error) {
        await this.close();
        if (attempt === ATTEMPTS) throw error;
        console.error(`${error}; starting another one`);
      }
    }
  }

  async #open(options: BrowserContextOptions): Promise<Page> {
    this.#browser ??= await chromium.launch({
      executablePath: this.#executablePath,
      timeout: OPENS_WITHIN_MS,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run',
      ],
    });
    const context = await this.#browser.newContext(options);
    return context.newPage();
  }

  /** Playwright kills one that does not close; that is not waited for. */
  async close(): Promise<void> {
    const browser = this.#browser;
    this.#browser = undefined;
    if (browser === undefined) return;
    await within(CLOSES_WITHIN_MS, browser.close(), 'the end of Chromium').catch((error) =>
      console.error(String(error)),
    );
  }
}

async function within<T>(ms: number, work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ms} ms`)), ms);
  });
  // What fails after the limit has been told already.
  work.catch(() => {});
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}
