/** What a name in SQL goes on with, so that a parameter beside it needs a space. */
export const NAME_CHARACTER = /[\w$\u0080-\uffff]/;

type Place = "text" | "'" | '"' | "--" | "/*";

const NAMES: { readonly [P in Place]: string } = {
  text: "the text",
  "'": "quotes; a value needs none",
  '"': "double quotes; a name can't be a value",
  "--": "a comment",
  "/*": "a comment",
};

/**
 * Knows where in an expression a piece of it ends, so far as to tell a value that stands within quotes, where Postgres
 * would see two characters and no parameter.
 * https://www.postgresql.org/docs/current/sql-syntax-lexical.html
 */
export class Lexer {
  #place: Place = "text";
  #depth = 0;

  /** Goes through the next piece and returns it. */
  read(piece: string): string {
    for (let at = 0; at < piece.length; ) at += this.#step(piece, at);
    return piece;
  }

  /** A value comes here. */
  atValue(): void {
    if (this.#place !== "text") throw new TypeError(`pgrelay: a \${…} within ${NAMES[this.#place]}`);
  }

  /** The expression is over. A comment to the line's end would swallow what comes after it in another one. */
  end(): void {
    if (this.#place !== "text") throw new TypeError(`pgrelay: sql\`…\` ends within ${NAMES[this.#place]}`);
  }

  /** Takes one or two characters; returns how many. Doubled quotes leave and enter, which is the same. */
  #step(piece: string, at: number): 1 | 2 {
    const one = piece[at] ?? "";
    const two = piece.slice(at, at + 2);
    switch (this.#place) {
      case "'":
      case '"':
        if (one === this.#place) this.#place = "text";
        return 1;
      case "--":
        if (one === "\n") this.#place = "text";
        return 1;
      case "/*":
        return this.#comment(two);
      case "text":
        return this.#text(one, two, piece.slice(Math.max(0, at - 1), at));
    }
  }

  #text(one: string, two: string, before: string): 1 | 2 {
    if (one === "'" || one === '"') this.#place = one;
    else if (two === "--") this.#place = two;
    else if (two === "/*") return this.#comment(two);
    else if (one === "$" && !NAME_CHARACTER.test(before)) {
      throw new TypeError(
        "pgrelay: a bare $ in sql`…`; parameters are made of values, other text stands in quotes",
      );
    }
    return 1;
  }

  /** Comments nest. */
  #comment(two: string): 1 | 2 {
    if (two !== "/*" && two !== "*/") return 1;
    this.#depth += two === "/*" ? 1 : -1;
    this.#place = this.#depth === 0 ? "text" : "/*";
    return 2;
  }
}
