declare module 'elfy' {
  /** A program header: a piece of the file and where it belongs in memory. */
  interface Program {
    type: string;
    offset: number;
    vaddr: number;
    filesz: number;
    memsz: number;
    flags: { r?: boolean; w?: boolean; x?: boolean };
    align: number;
  }

  /** Reads the headers of an ELF file. */
  export function parse(file: Buffer): {
    class: '32' | '64';
    endian: 'lsb' | 'msb';
    type: string;
    machine: string;
    body: { programs: Program[] };
  };
}
