/** Remembers what was used when, and names what to give up to stay below a number of bytes. */
export class ByteLru<Key> {
  /** Insertion order is the order of use, the oldest first. */
  private readonly sizes = new Map<Key, number>();
  private total = 0;

  get bytes(): number {
    return this.total;
  }

  get size(): number {
    return this.sizes.size;
  }

  /** Put in a key as the newest, with its size. */
  add(key: Key, bytes: number): void {
    this.remove(key);
    this.sizes.set(key, bytes);
    this.total += bytes;
  }

  /** Make a key the newest, if it is there. */
  touch(key: Key): void {
    const bytes = this.sizes.get(key);
    if (bytes === undefined) return;
    this.sizes.delete(key);
    this.sizes.set(key, bytes);
  }

  remove(key: Key): void {
    this.total -= this.sizes.get(key) ?? 0;
    this.sizes.delete(key);
  }

  /** Remove and return the oldest keys until at most `limit` bytes are left; some are kept. */
  evict(limit: number, isKept: (key: Key) => boolean): Key[] {
    const out: Key[] = [];
    for (const key of this.sizes.keys()) {
      if (this.total <= limit) break;
      if (isKept(key)) continue;
      this.remove(key);
      out.push(key);
    }
    return out;
  }

  keys(): IterableIterator<Key> {
    return this.sizes.keys();
  }
}
