// Creates links through the HTTP handler and reports each once it was answered, until killed.
import { startService } from './service.ts';

const [database = '', round = ''] = process.argv.slice(2);
const service = await startService({ database });
for (let i = 0; i < 10_000; i++) {
  const short = `r${round}.${i}`;
  const answer = await service.save(short, `http://example/${i}`);
  if (answer.status !== 200) throw new Error(answer.body);
  process.send!(short);
}
process.exit(1);
