// The doors between packages open one way (ARCHITECTURE.md, "Rooms"). This test reads every import of every
// source file and fails on a forbidden edge, on Node or ambient I/O inside the sans-I/O packages, and on a cycle.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Workspace folder -> package names it may import, besides npm packages named in its package.json. */
const DOORS: Record<string, readonly string[]> = {
  'packages/protocol': [],
  'packages/crypto': ['protocol'],
  'packages/wireguard': ['protocol'],
  'packages/netstack': ['protocol'],
  'packages/derp': ['protocol', 'crypto'],
  'packages/native': [],
  'packages/sqlite': [],
  'packages/tsnet': ['protocol', 'crypto', 'wireguard', 'netstack', 'derp/client', 'native'],
  'packages/control': ['protocol', 'crypto', 'derp', 'sqlite'],
  'packages/web': ['tsnet'],
  'apps/golink': ['sqlite', 'tsnet', 'web'],
  'packages/cli': ['protocol', 'crypto', 'derp', 'control', 'tsnet', 'web', 'golink', 'native'],
};
/** The @noble packages are all a core package may bring in. */
const SANS_IO = ['packages/protocol', 'packages/wireguard', 'packages/netstack'];
const AMBIENT_IO =
  /\b(?:process\.|setTimeout\(|setInterval\(|setImmediate\(|queueMicrotask\(|Date\.now\(|new Date\(\)|performance\.|Math\.random\(|console\.|globalThis\.crypto|crypto\.getRandomValues)/;

function sources(dir: string): string[] {
  return readdirSync(join(root, dir), { withFileTypes: true }).flatMap((entry) => {
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory()) return sources(path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const statement =
    /^\s*(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm;
  for (const match of text.matchAll(statement)) {
    found.push({ specifier: (match[2] ?? match[3])!, typeOnly: match[1] !== undefined });
  }
  return found;
}

const isTest = (file: string): boolean => /\.test\.ts$|\/testing\//.test(file);

test('every import goes through an open door', () => {
  const wrong: string[] = [];
  for (const [folder, doors] of Object.entries(DOORS)) {
    for (const file of sources(`${folder}/src`)) {
      if (isTest(file)) continue;
      for (const { specifier, typeOnly } of importsOf(readFileSync(join(root, file), 'utf8'))) {
        if (specifier.startsWith('@cove/')) {
          const target = specifier.slice('@cove/'.length);
          const open = doors.some(
            (door) => target === door || (!door.includes('/') && target.startsWith(`${door}/`)),
          );
          if (!open) wrong.push(`${file}: ${specifier}`);
          if (folder === 'packages/web' && !typeOnly)
            wrong.push(`${file}: ${specifier} (types only)`);
        } else if (
          SANS_IO.includes(folder) &&
          !specifier.startsWith('.') &&
          !specifier.startsWith('@noble/')
        ) {
          wrong.push(`${file}: ${specifier} inside a sans-I/O package`);
        }
      }
    }
  }
  assert.deepEqual(wrong, []);
});

test('the sans-I/O packages use no clock, timer, randomness or output of their own', () => {
  const wrong = SANS_IO.flatMap((folder) => sources(`${folder}/src`))
    .filter((file) => !isTest(file))
    .flatMap((file) =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .flatMap((line, i) =>
          AMBIENT_IO.test(line) && !/^\s*(?:\/\/|\*|\/\*)/.test(line)
            ? [`${file}:${i + 1}: ${line.trim()}`]
            : [],
        ),
    );
  assert.deepEqual(wrong, []);
});

test('no module of a package imports itself in a circle', () => {
  const edges = new Map<string, string[]>();
  for (const folder of Object.keys(DOORS)) {
    for (const file of sources(`${folder}/src`)) {
      const targets = importsOf(readFileSync(join(root, file), 'utf8'))
        .filter(({ specifier, typeOnly }) => specifier.startsWith('.') && !typeOnly)
        .map(({ specifier }) => relative(root, normalize(join(root, dirname(file), specifier))));
      edges.set(file, targets);
    }
  }
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]): void => {
    if (done.has(file)) return;
    assert.ok(!path.includes(file), `import cycle: ${[...path, file].join(' -> ')}`);
    for (const next of edges.get(file) ?? []) walk(next, [...path, file]);
    done.add(file);
  };
  for (const file of edges.keys()) walk(file, []);
});

test('every source file is headed by a comment that says what it is', () => {
  const bare = Object.keys(DOORS)
    .flatMap((folder) => sources(`${folder}/src`))
    .filter((file) => !isTest(file))
    .filter((file) => !/^\s*(?:\/\/|\/\*)/.test(readFileSync(join(root, file), 'utf8')));
  assert.deepEqual(bare, []);
});
