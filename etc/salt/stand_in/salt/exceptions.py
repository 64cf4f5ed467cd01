"""The errors of Salt 3008's salt.exceptions, by name, base and attributes, for modules that raise or catch them."""

from typing import Any

from saltlite import CommandExecutionError as CommandExecutionError
from saltlite import SaltError as SaltException

_BASES = {
    SaltException: """SaltClientError SaltMasterError SaltNoMinionsFound SaltSyndicMasterError
         SaltMasterUnresolvableError AuthenticationError CommandNotFoundError LoaderError PublishError MinionError
        FileserverConfigError GitRemoteError PkgParseError SaltCacheError TimeoutError SaltReqTimeoutError
        TimedProcTimeoutError EauthAuthenticationError TokenAuthenticationError TokenExpiredError
        SaltDeserializationError AuthorizationError SaltValidationError UnsupportedAlgorithm SaltDaemonNotRunning
        SaltRunnerError SaltWheelError SaltConfigurationError SaltCloudException NotImplemented TemplateError
        MissingSmb NxosError""",
    SystemExit: "MasterExit",
    RuntimeError: "LoggingRuntimeError",
    CommandExecutionError: """ArgumentValueError CheckError InvalidConfigError InvalidEntityError VMwareSaltError
        CodePageError""",
    "SaltCloudException": """SaltCloudSystemExit SaltCloudConfigError SaltCloudNotFound SaltCloudExecutionTimeout
        SaltCloudExecutionFailure SaltCloudPasswordError""",
    "VMwareSaltError": """VMwareRuntimeError VMwareConnectionError VMwareObjectRetrievalError VMwareObjectNotFoundError
        VMwareObjectExistsError VMwareNotFoundError VMwareApiError VMwareSystemError VMwarePowerOnError
        VMwareVmRegisterError VMwareVmCreationError""",
    "VMwareObjectRetrievalError": "VMwareMultipleObjectsError",
    "VMwareApiError": "VMwareFileNotFoundError",
    "NxosError": "NxosCliError NxosClientError NxosRequestNotSupported",
}
for _base, _names in _BASES.items():
    for _name in _names.split():
        _parent: Any = globals()[_base] if isinstance(_base, str) else _base
        globals()[_name] = type(_name, (_parent,), {"__module__": __name__})


class SaltInvocationError(SaltException, TypeError):
    """Wrong or missing arguments."""


class InvalidKeyError(SaltException, ValueError):
    """A key that is none."""


class FileLockError(SaltException):
    """A lock could not be had; `time_start`: since when it was tried."""

    def __init__(self, message, time_start=None, *args, **kwargs):
        super().__init__(message, *args, **kwargs)
        self.time_start = time_start


class GitLockError(SaltException):
    """A lock of a git checkout could not be had."""

    def __init__(self, errno, message, *args, **kwargs):
        super().__init__(message, *args, **kwargs)
        self.errno = errno


class SaltRenderError(SaltException):
    """A file could not be rendered."""

    def __init__(self, message, line_num=None, buf="", marker="    <======================", trace=None):
        self.error, self.line_num, self.buffer, self.context = message, line_num, buf, ""
        text = f"{message}\n{trace}\n" if trace else str(message)
        super().__init__(f"{text}; line {line_num}" if line_num and buf else text)


class SaltClientTimeout(SaltException):
    """A job did not return in time."""

    def __init__(self, message, jid=None, *args, **kwargs):
        super().__init__(message, *args, **kwargs)
        self.jid = jid


class SaltSystemExit(SystemExit):
    """The program is to end, with a code and a sentence."""

    def __init__(self, code=0, msg=None):
        super().__init__(msg or code)
