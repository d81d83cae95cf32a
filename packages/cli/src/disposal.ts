// Several resources that end together, last opened first. (AsyncDisposableStack, which Node 20 lacks.)

export class Disposal implements AsyncDisposable {
  readonly #actions: (() => Promise<unknown> | unknown)[] = [];

  /** Keeps the resource until the end and hands it back. */
  use<T extends AsyncDisposable>(resource: T): T {
    this.#actions.push(() => resource[Symbol.asyncDispose]());
    return resource;
  }

  defer(action: () => Promise<unknown> | unknown): void {
    this.#actions.push(action);
  }

  /** Ends everything even if some of it fails; then throws the first failure. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (let action = this.#actions.pop(); action !== undefined; action = this.#actions.pop()) {
      try {
        await action();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
