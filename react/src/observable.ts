/** What useSyncExternalStore takes: a value that stays the same object until it changes, and who wants to know. */
export interface Observable<T> {
  subscribe(listener: () => void): () => void;
  getSnapshot(): T;
}
