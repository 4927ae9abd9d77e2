/** A binary heap that gives the item of the greatest priority first. */
export class MaxHeap<T extends { readonly priority: number }> {
  private readonly items: T[] = [];

  get size(): number {
    return this.items.length;
  }

  push(item: T): void {
    const items = this.items;
    let hole = items.length;
    items.push(item);
    while (hole > 0) {
      const above = (hole - 1) >> 1;
      if (items[above]!.priority >= item.priority) break;
      items[hole] = items[above]!;
      hole = above;
    }
    items[hole] = item;
  }

  pop(): T | undefined {
    const items = this.items;
    const top = items[0];
    const last = items.pop();
    if (last === undefined || items.length === 0) return top;
    let hole = 0;
    for (;;) {
      let below = 2 * hole + 1;
      if (below >= items.length) break;
      if (below + 1 < items.length && items[below + 1]!.priority > items[below]!.priority) below++;
      if (items[below]!.priority <= last.priority) break;
      items[hole] = items[below]!;
      hole = below;
    }
    items[hole] = last;
    return top;
  }
}
