// The port mapper as the engine has it: loaded when the first measurement of the network asks for it, because by then
// the node is on its way, and a node that asks no gateway for anything never needs it.
import type { PortMapper, PortMapperOptions, PortMapping, PortServices } from './portmapper.ts';

export class LateMapper {
  readonly #options: PortMapperOptions;
  #loading: Promise<void> | undefined;
  #mapper: PortMapper | undefined;
  #localPort: number | undefined;
  #isClosed = false;

  constructor(options: PortMapperOptions) {
    this.#options = options;
  }

  /** As PortMapper.ensure, from the first probe() on. */
  ensure(localPort: number): void {
    this.#localPort = localPort;
    this.#mapper?.ensure(localPort);
  }

  /** As PortMapper.probe. */
  async probe(): Promise<PortServices | undefined> {
    this.#loading ??= this.#load();
    await this.#loading;
    return this.#mapper?.probe();
  }

  mapping(): PortMapping | undefined {
    return this.#mapper?.mapping();
  }

  networkChanged(): void {
    this.#mapper?.networkChanged();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#loading;
    await this.#mapper?.close();
  }

  async #load(): Promise<void> {
    const { PortMapper } = await import('./portmapper.ts');
    if (this.#isClosed) return;
    this.#mapper = new PortMapper(this.#options);
    if (this.#localPort !== undefined) this.#mapper.ensure(this.#localPort);
  }
}
