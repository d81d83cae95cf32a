// What the person at the terminal sees: everything human goes to stderr, so that stdout stays for --json and results.

/** Writes for people. `step` shows a spinner on a terminal and nothing elsewhere. */
export interface Output {
  line(text?: string): void;
  warn(text: string): void;
  step<T>(text: string, work: Promise<T>): Promise<T>;
  /** Overwrites one line on a terminal; elsewhere prints only when `final`. */
  progress(text: string, final?: boolean): void;
}

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const CLEAR_LINE = '\r\u001b[K';

export function createOutput(stream: NodeJS.WriteStream = process.stderr): Output {
  const terminal = stream.isTTY === true;
  const line = (text = ''): void => {
    stream.write(`${text}\n`);
  };
  return {
    line,
    warn: (text) => line(`warning: ${text}`),
    progress(text, final = false) {
      if (terminal) stream.write(`${CLEAR_LINE}${text}${final ? '\n' : ''}`);
      else if (final) line(text);
    },
    async step(text, work) {
      if (!terminal) return work;
      let frame = 0;
      const timer = setInterval(() => {
        stream.write(`${CLEAR_LINE}${FRAMES[frame++ % FRAMES.length]} ${text}`);
      }, 80);
      try {
        return await work;
      } finally {
        clearInterval(timer);
        stream.write(CLEAR_LINE);
      }
    },
  };
}

/** Columns padded to the widest cell, two spaces between. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      widths[i] = Math.max(widths[i] ?? 0, cell.length);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
