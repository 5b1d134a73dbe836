// Dockerfiles that cover every instruction: what each image looks like was recorded from dockerd's classic builder
// (fixtures/dockerd.json), and is compared live where a dockerd is at hand.

export interface Case {
  /** A shell script that makes the context's files, in an empty directory. */
  context?: string;
  dockerfile: string;
  /** More of docker build's flags. */
  flags?: readonly string[];
}

/** BASE stands for an image of busybox. */
export const corpus: Readonly<Record<string, Case>> = {
  "from alone": { dockerfile: "FROM BASE\n" },
  "from scratch": { context: "echo hi > f", dockerfile: 'FROM scratch\nCOPY f /\nCMD ["/f"]\n' },
  "from an argument": { dockerfile: "ARG IMAGE=BASE\nARG UNUSED\nFROM $IMAGE\nENV A=$IMAGE\n" },
  "from a stage by name": {
    dockerfile:
      "FROM BASE AS one\nENV A=1\nRUN echo one > /one\nFROM One AS two\nENV B=$A\nFROM two\nRUN cat /one\n",
  },
  "run: shell, list, changes": {
    dockerfile:
      'FROM BASE\nRUN echo hello > /greeting && mkdir -p /a/b && touch /a/b/c\nRUN ["/bin/sh", "-c", "echo $HOME > /home-is"]\nRUN rm /greeting && chmod 700 /a\nRUN true\n',
  },
  "run: continued lines and comments": {
    dockerfile:
      "FROM BASE\nRUN echo one \\\n  # a comment\n\n   && echo two > /two \\\n&& echo three \\\n    > /three\n",
  },
  "run: removed, replaced, renamed directories": {
    dockerfile:
      "FROM BASE\nRUN mkdir -p /d/sub && echo 1 > /d/sub/f && ln -s /d /l && ln /d/sub/f /d/hard\nRUN rm -r /d && mkdir /d && echo 2 > /d/g\nRUN mv /d /e && rm /l && echo 3 > /l && mkfifo /p\n",
  },
  "run: who and where": {
    dockerfile:
      "FROM BASE\nRUN chmod 1777 /tmp\nUSER nobody\nWORKDIR /tmp\nRUN id -u > who && pwd > where\nUSER 33:10\nRUN id -g > /tmp/group\n",
  },
  "run: setuid, modes, owners": {
    dockerfile:
      "FROM BASE\nRUN cp /bin/busybox /su && chmod 4755 /su && mkdir -m 1777 /t && touch /owned && chown 12:34 /owned && chmod 0 /owned\n",
  },
  "run: no network": {
    dockerfile: "FROM BASE\nRUN ls /sys/class/net > /net\n",
    flags: ["--network", "none"],
  },
  "run: hosts and limits": {
    dockerfile: "FROM BASE\nRUN grep -c some.where /etc/hosts > /count; ulimit -n > /limit\n",
    flags: [
      "--add-host",
      "some.where:10.1.2.3",
      "--ulimit",
      "nofile=123:456",
      "-m",
      "64m",
      "--shm-size",
      "32m",
    ],
  },
  "env: all its forms": {
    dockerfile: `FROM BASE\nENV A=1 B="two words" C='single $A' D=esc\\ aped\nENV E the rest  of it\nENV A=2 F=$A G=\${A}x H=\${NOPE:-fallback} I=\${A:+set} J=\${NOPE:+unset}\nENV PATH=/opt:$PATH\nRUN echo $A $B $C $D $E $F > /env\n`,
  },
  "env: patterns": {
    dockerfile: `FROM BASE\nENV P=foo.tar.gz\nENV A=\${P%.gz} B=\${P%%.*} C=\${P#*.} D=\${P##*.} E=\${P/tar/zip} F=\${P//o/0}\n`,
  },
  "arg: defaults, given, scopes": {
    dockerfile:
      'ARG V=global\nFROM BASE AS a\nARG V\nARG W=default\nARG X\nRUN echo $V $W $X > /args\nFROM BASE\nARG W=other\nENV W2=$W\nRUN echo "<$V><$W>" > /args\nCOPY --from=a /args /args-a\n',
    flags: ["--build-arg", "X=given", "--build-arg", "W=w", "--build-arg", "Z=unused"],
  },
  "arg: env wins, proxies need no declaration": {
    dockerfile:
      "FROM BASE\nARG A=arg\nENV A=env\nRUN echo $A $HTTP_PROXY > /a\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY > /b\n",
    flags: ["--build-arg", "HTTP_PROXY=http://p:1", "--build-arg", "A=given"],
  },
  "label: quotes, order, command line": {
    dockerfile:
      'FROM BASE\nLABEL a=b "c d"="e f" g=\'h\'\nLABEL a=c multi="one \\\ntwo"\nLABEL old form here\n',
    flags: ["--label", "z=from the command line", "--label", "a=last"],
  },
  "cmd and entrypoint": {
    dockerfile: 'FROM BASE\nCMD echo shell $HOME\nENTRYPOINT ["/bin/echo", "list"]\n',
  },
  "entrypoint drops the base's command": {
    dockerfile: 'FROM BASE AS b\nCMD ["b"]\nFROM b\nENTRYPOINT exec top\n',
  },
  "cmd: not quite a list": { dockerfile: "FROM BASE\nCMD ['single', 'quotes']\nENTRYPOINT [\"a\" \"b\"]\n" },
  "entrypoint and cmd emptied": {
    dockerfile: 'FROM BASE AS b\nENTRYPOINT ["x"]\nCMD ["y"]\nFROM b\nENTRYPOINT []\nCMD []\n',
  },
  "workdir: made, relative, variables": {
    dockerfile:
      "FROM BASE\nENV D=dir\nWORKDIR /made/deep\nWORKDIR ../$D\nWORKDIR a b\nRUN pwd > here\nWORKDIR /tmp\nWORKDIR /tmp/..\n",
  },
  "workdir: through a link": {
    dockerfile: "FROM BASE\nRUN mkdir /real && ln -s /real /link\nWORKDIR /link/in\nRUN touch f\n",
  },
  "expose: ranges and protocols": {
    dockerfile: 'FROM BASE\nENV PORTS="70 71/udp"\nEXPOSE 80 90/udp 5-7/TCP\nEXPOSE $PORTS 100/sctp\n',
  },
  "volume: list, words, what is written to it": {
    dockerfile:
      'FROM BASE\nRUN mkdir /v && echo before > /v/f\nVOLUME ["/v", "/with space"]\nVOLUME /w /x\nRUN echo after > /v/g; touch /beside\n',
  },
  "stopsignal, user, maintainer": {
    dockerfile: "FROM BASE\nMAINTAINER Some Body <s@b>\nSTOPSIGNAL SIGUSR1\nUSER nobody:bin\nUSER $NOPE\n",
  },
  shell: {
    dockerfile:
      'FROM BASE\nSHELL ["/bin/sh", "-ec"]\nRUN echo $- > /flags\nCMD echo x\nHEALTHCHECK CMD true\nENTRYPOINT foo\n',
  },
  healthcheck: {
    dockerfile:
      'FROM BASE AS a\nHEALTHCHECK --interval=1m30s --timeout=500ms --start-period=2s --start-interval=1s --retries=3 CMD ["test", "-e", "/ok"]\nFROM a AS b\nHEALTHCHECK CMD exit 0\nFROM b\nHEALTHCHECK NONE\n',
  },
  "onbuild: kept, carried out, not handed on": {
    context: "echo app > app",
    dockerfile:
      "FROM BASE AS b\nONBUILD COPY app /app\nONBUILD RUN cat /app > /copied\nONBUILD ENV A=1\nRUN touch /in-b\nFROM b\nRUN cat /copied\n",
  },
  "copy: files, directories, where to": {
    context:
      "echo a > a; mkdir -p d/e; echo f > d/e/f; ln -s e d/link; ln -s a top-link; chmod 750 d/e; chmod 600 a; touch -d 2001-02-03 a d/e/f",
    dockerfile:
      "FROM BASE\nCOPY a /file\nCOPY a /dir/\nCOPY a /tmp\nCOPY a d /many/\nCOPY d /d\nCOPY d/ /d2/\nCOPY d/. /d3\nCOPY top-link /linked\nCOPY . /all/\nWORKDIR /w\nCOPY a .\nCOPY a b\nCOPY d/e ./x/y\n",
  },
  "copy: patterns": {
    context:
      "touch a.txt b.txt c.md 'with space'; mkdir -p sub/deep dir.txt; touch sub/x.txt sub/deep/y.txt dir.txt/in",
    dockerfile:
      'FROM BASE\nCOPY *.txt /1/\nCOPY ?.md /2/\nCOPY [ab].txt /3/\nCOPY sub/*.txt /4/\nCOPY ["with space", "/5/"]\nCOPY */*.txt /6/\n',
  },
  "copy: over what is there": {
    context: "mkdir -p d/sub; echo new > d/sub/f; echo f > f; chmod 700 d/sub",
    dockerfile:
      "FROM BASE\nRUN mkdir -p /t/sub && echo old > /t/sub/f && echo kept > /t/sub/kept && chmod 755 /t/sub && chmod 711 /t && chown 5:6 /t /t/sub && ln -s /t /link && ln -s /t/sub/f /flink\nCOPY d /t\nCOPY d /link\nCOPY f /flink\nCOPY f /link/\n",
  },
  "copy: owners": {
    context: "mkdir -p d/e; touch d/e/f; ln -s f d/e/l; chown -R 7:8 d",
    dockerfile:
      "FROM BASE\nCOPY d /plain\nCOPY --chown=nobody d /by/name\nCOPY --chown=33:mail d /both\nCOPY --chown=1000:1001 d/e/f /new/dir/f\nARG WHO=12\nCOPY --chown=$WHO d /var-one\n",
  },
  "copy: from stages and images": {
    context: "echo c > c",
    dockerfile:
      "FROM BASE AS first\nRUN mkdir -p /out/deep && echo 1 > /out/deep/f && chown -R 9:9 /out && ln -s deep /out/l\nFROM scratch AS second\nCOPY c /c\nFROM BASE\nCOPY --from=first /out /out\nCOPY --from=0 /out/l /followed\nCOPY --from=second c /\nCOPY --from=BASE /etc/passwd /passwd\nCOPY --from=1 / /everything/\n",
  },
  "copy: whiteouts and opaque directories below": {
    context: "mkdir d; echo x > d/x",
    dockerfile:
      "FROM BASE AS b\nRUN mkdir /d && touch /d/old\nFROM b AS c\nRUN rm -r /d\nFROM c\nCOPY d /d\nRUN ls /d > /list\nRUN rm -r /d && mkdir /d && touch /d/z\nCOPY d /d\nRUN ls /d >> /list\n",
  },
  "add: like copy": {
    context: "echo a > a; mkdir d; echo b > d/b; touch -d 2001-02-03 a",
    dockerfile: "FROM BASE\nADD a /\nADD d /d/\nADD a d /m/\nADD --chown=3:4 a /owned/\n",
  },
  "add: archives": {
    context:
      "mkdir -p t/sub; echo x > t/x; echo s > t/sub/s; ln -s x t/l; chown -R 21:22 t; touch -d 2001-02-03 t/x; pack='tar --mtime=2001-02-03 --sort=name --format=ustar --numeric-owner -C t'; $pack -cf plain.tar .; $pack -czf z.tgz .; $pack -cjf b.tar.bz2 .; echo no > not.tar; gzip -nc not.tar > file.gz; rm -r t",
    dockerfile:
      "FROM BASE\nADD plain.tar /1\nADD z.tgz /2/\nADD b.tar.bz2 /3/\nADD not.tar file.gz /4/\nADD --chown=5:5 plain.tar /5\nCOPY plain.tar /6/\n",
  },
  ".dockerignore": {
    context:
      "mkdir -p a/b node_modules/x docs; touch a/keep.txt a/b/x.log a/y.log y.log docs/1.md docs/README.md node_modules/x/f '.hidden'; printf '# comment\\n*.log\\n**/x.log\\n/node_modules\\ndocs/*\\n!docs/README.md\\nDockerfile\\n.dockerignore\\n' > .dockerignore",
    dockerfile: "FROM BASE\nCOPY . /ctx\n",
  },
  ".dockerignore: everything but": {
    context:
      "mkdir -p src/t other; touch src/a src/t/b other/c; printf '*\\n!src\\nsrc/t\\n' > .dockerignore",
    dockerfile: "FROM BASE\nCOPY . /ctx/\n",
  },
  "a Dockerfile of another name": {
    context: "mkdir sub; cp Dockerfile sub/other; printf 'FROM nowhere' > Dockerfile",
    dockerfile: "FROM BASE\nCOPY sub /s\n",
    flags: ["-f", "sub/other"],
  },
  "target: a stage in the middle": {
    dockerfile: "FROM BASE AS a\nENV A=1\nFROM a AS b\nENV B=1\nFROM b AS c\nRUN false\n",
    flags: ["--target", "B"],
  },
  "escape: backquotes": {
    dockerfile: "# escape=`\nFROM BASE\nENV A=C:\\dir B=x`\n C=y\nRUN echo a > /f && `\n    echo b >> /f\n",
  },
  "directives, carriage returns, lower case": {
    dockerfile:
      '# syntax=docker/dockerfile:1\n# check=skip=all\r\nfrom BASE as X\r\nrun echo crlf > /f\r\nenv A=b\r\nFroM x\ncmd ["a"]\n',
  },
  "names of files that are not plain": {
    context: "printf x > 'ü ber'; printf y > \"$(printf 'b\\\\c')\"; mkdir 'ä b'; touch 'ä b/ö'",
    dockerfile: 'FROM BASE\nCOPY . /ctx/\nCOPY ["ü ber", "/ÿ"]\n',
  },
  "links that lead out of the context": {
    context: "ln -s /etc/passwd out; ln -s ../../../../etc up; mkdir d; ln -s /etc d/abs; echo x > etc-less",
    dockerfile: "FROM BASE\nCOPY d /d\nCOPY etc-less /x\n",
  },
  "many steps": {
    dockerfile: `FROM BASE\n${Array.from({ length: 20 }, (_, index) => (index % 2 ? `ENV V${index}=${index}` : `RUN echo ${index} > /f${index}`)).join("\n")}\n`,
  },
};

/** What is refused, before or while it is built. */
export const refusals: Readonly<Record<string, Case>> = Object.fromEntries(
  (
    [
      "",
      "# nothing\n",
      "RUN true\n",
      "FROM BASE\nFOO x\n",
      "FROM BASE\nRUM x\n",
      "FROM BASE\nCOPY --foo=1 a b\n",
      "FROM BASE\nCOPY f\n",
      "FROM BASE\nCOPY\n",
      "FROM BASE\nCOPY nope /x\n",
      "FROM BASE\nADD nope /x\n",
      "FROM BASE\nCOPY zz* /x/\n",
      "FROM BASE\nCOPY f Dockerfile /x\n",
      "FROM BASE\nCOPY ../f /\n",
      "FROM BASE\nCOPY --chown=zz f /\n",
      "FROM BASE\nCOPY --chown=0:zz f /\n",
      "FROM BASE\nRUN exit 7\n",
      'FROM BASE\nRUN ["/bin/sh", "-c", "exit 3"]\n',
      "FROM BASE AS\n",
      "FROM BASE AS 1x\n",
      "FROM BASE x y\n",
      "FROM\n",
      `FROM \${X}\n`,
      "FROM scratch\n",
      "FROM BASE AS a\nFROM BASE AS a\n",
      "FROM BASE\nENV a\n",
      "FROM BASE\nENV\n",
      "FROM BASE\nENV =b\n",
      "FROM BASE\nENV a=1 b\n",
      `FROM BASE\nENV a=\${b:?message}\n`,
      `FROM BASE\nENV a=\${b!}\n`,
      `FROM BASE\nENV a=\${b\n`,
      'FROM BASE\nENV a="b\n',
      "FROM BASE\nLABEL\n",
      "FROM BASE\nARG\n",
      "FROM BASE\nUSER\n",
      "FROM BASE\nWORKDIR\n",
      "FROM BASE\nWORKDIR /bin/sh\n",
      "FROM BASE\nVOLUME\n",
      'FROM BASE\nVOLUME [""]\n',
      "FROM BASE\nEXPOSE\n",
      "FROM BASE\nEXPOSE abc\n",
      "FROM BASE\nEXPOSE 1/foo\n",
      "FROM BASE\nEXPOSE 99999\n",
      "FROM BASE\nSTOPSIGNAL NOPE\n",
      "FROM BASE\nSTOPSIGNAL\n",
      "FROM BASE\nSHELL x\n",
      "FROM BASE\nSHELL []\n",
      "FROM BASE\nMAINTAINER\n",
      "FROM BASE\nONBUILD\n",
      "FROM BASE\nONBUILD FROM x\n",
      "FROM BASE\nONBUILD ONBUILD RUN x\n",
      "FROM BASE\nONBUILD MAINTAINER x\n",
      "FROM BASE\nHEALTHCHECK\n",
      "FROM BASE\nHEALTHCHECK FOO\n",
      "FROM BASE\nHEALTHCHECK CMD\n",
      "FROM BASE\nHEALTHCHECK NONE x\n",
      "FROM BASE\nHEALTHCHECK --interval=1 CMD x\n",
      "FROM BASE\nHEALTHCHECK --interval=x CMD x\n",
      "FROM BASE\nHEALTHCHECK --interval=1us CMD x\n",
      "FROM BASE\nHEALTHCHECK --retries=-1 CMD x\n",
      'FROM BASE\nCMD ["a", 1]\n',
      "FROM BASE\nADD --from=0 f /\n",
    ] as const
  ).map((dockerfile) => [JSON.stringify(dockerfile), { context: "echo f > f", dockerfile }]),
);
