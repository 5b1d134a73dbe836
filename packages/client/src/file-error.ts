// Errors of the user's own files, as docker words them.

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EEXIST: "file exists",
  EACCES: "permission denied",
  EISDIR: "is a directory",
};

/** "open x: no such file or directory". */
export function fileError(error: unknown, path: string): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  const reason = reasons[code ?? ""];
  return new Error(reason ? `open ${path}: ${reason}` : message);
}
