// For `--require`, and for NODE_OPTIONS. Node before 20.19 cannot require an ES module.
try {
  require('./install.js');
} catch (error) {
  if ((error as NodeJS.ErrnoException).code !== 'ERR_REQUIRE_ESM') throw error;
  process.emitWarning(
    `safeexec: Node ${process.version} cannot require ES modules: use --import instead of --require; node:child_process stays as it is`,
    { type: 'SafeexecWarning', code: 'SAFEEXEC_UNAVAILABLE' },
  );
}
