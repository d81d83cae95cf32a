// Compiles assembly/ to WebAssembly. Run directly, it writes the bytes into src/wasmbytes.ts; a test compares.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';

const root = new URL('..', import.meta.url);
const target = new URL('src/wasmbytes.ts', root);

const OPTIONS = [
  '--outFile=cipher.wasm',
  '--runtime=stub',
  '--importMemory',
  '--noExportMemory',
  '--noAssert',
  '--optimizeLevel=3',
  '--shrinkLevel=0',
  '--converge',
  '--enable=simd',
  '--enable=bulk-memory',
];

/** The module's bytes, made afresh; tests compile parts of it alone. */
export async function compile(entry = 'assembly/index.ts') {
  let bytes;
  const { error, stderr } = await asc.main([entry, ...OPTIONS], {
    readFile: (name) => {
      try {
        return readFileSync(new URL(name, root), 'utf8');
      } catch {
        return null;
      }
    },
    writeFile: (_name, contents) => {
      bytes = contents;
    },
    listFiles: () => [],
  });
  if (error !== null) throw new Error(`AssemblyScript: ${stderr.toString()}`, { cause: error });
  return bytes;
}

/** The TypeScript file that carries them. */
export function source(bytes) {
  const lines = Buffer.from(bytes)
    .toString('base64')
    .match(/.{1,90}/g)
    .map((line) => `  '${line}'`);
  return `// The packet cipher as WebAssembly, ${bytes.length} bytes in base64: assembly/ compiled by scripts/wasm.mjs. Do not edit.

export const WASM_BASE64: string =
${lines.join(' +\n')};
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const bytes = await compile();
  writeFileSync(target, source(bytes));
  console.log(`${bytes.length} bytes`);
}
