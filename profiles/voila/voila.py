# The single-image demos as a web app (`make demo`): for the person at this machine, through a browser on this machine.
# A visitor can move the notebook's widgets and do nothing else: Voila hands the kernel no code (it takes comm messages
# only, tests/test_browser.py tries), and shows neither sources, tracebacks nor files.
c = get_config()  # noqa: F821

c.Voila.ip = "127.0.0.1"
c.Voila.auto_token = True  # others with an account on this machine reach the port, but not the page
c.Voila.tornado_settings = {
    "allow_remote_access": False,  # answer to the names below alone, whatever a foreign page makes of its own name
    "local_hostnames": ["localhost", "127.0.0.1"],
    "websocket_max_message_size": 4 * 2**20,  # bytes; an upload comes in pieces of half a MB, 32 MB in all (cskt.web)
    "max_body_size": 2**20,
    # Voila's page asks a foreign server for its icon font; here a page gets nothing but from this server
    "headers": {
        "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' "
        "ws: wss: data: blob:; frame-ancestors 'self'"
    },
}
c.VoilaConfiguration.file_allowlist = []
c.VoilaConfiguration.file_denylist = [".*"]
c.VoilaConfiguration.strip_sources = True
c.VoilaConfiguration.show_tracebacks = False
c.VoilaConfiguration.allow_template_override = "NO"
c.VoilaConfiguration.allow_theme_override = "NO"
# a page that nobody looks at any more gives its kernel back
c.MappingKernelManager.cull_interval = 60
c.MappingKernelManager.cull_idle_timeout = 1800
c.MappingKernelManager.cull_connected = False
