// Memory that can be made longer and shorter: not in the language's types of the version that we compile for.

export interface Growing {
  resize(length: number): void;
  grow(length: number): void;
}

type Make<Memory> = new (length: number, options: object) => Memory & Growing;

const Resizable = ArrayBuffer as unknown as Make<ArrayBuffer>;
const Growable = SharedArrayBuffer as unknown as Make<SharedArrayBuffer>;

export const growing = (length: number, maxByteLength: number): ArrayBuffer & Growing =>
  new Resizable(length, { maxByteLength });

export const growingShared = (length: number, maxByteLength: number): SharedArrayBuffer & Growing =>
  new Growable(length, { maxByteLength });
