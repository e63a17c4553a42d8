"""A page of another origin, in a real browser, and our services on the loopback address."""

from __future__ import annotations

import http.server
import threading

import pytest

PAGE = b"""<!doctype html><title>another site</title><script>
async function attack(port) {
    const send = (path, body) => fetch(`http://127.0.0.1:${port}${path}`,
        {method: 'POST', mode: 'no-cors', headers: {'Content-Type': 'text/plain'}, body: JSON.stringify(body)})
        .then(() => 'sent', error => String(error));
    const made = await send('/events', {eid: 'stolen', win: 'w', data: [{type: 'text', content: 'from elsewhere'}],
                                        layout: {}, opts: {}});
    const gone = await send('/delete_env', {eid: 'main'});
    const socket = await new Promise(done => {
        const opened = new WebSocket(`ws://127.0.0.1:${port}/socket`);
        opened.onopen = () => done('open');
        opened.onerror = () => done('refused');
    });
    return [made, gone, socket];
}
</script>"""


@pytest.fixture
def another_site():
    """The address of a page that is not ours, also on this machine: another port is another origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(PAGE)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_it_cannot_make_visdom_do_anything(front, context, another_site):
    visdom = front.serve("visdom")
    ours = context.new_page()
    ours.goto(visdom)  # our own page works, its socket too
    ours.get_by_text("online").first.wait_for()
    ours.request.post(f"{visdom}events", data={"eid": "main", "win": "w", "data": [{"type": "text", "content": "ours"}],
                                                "layout": {}, "opts": {}})  # fmt: skip
    page = context.new_page()
    page.goto(another_site)
    made, gone, socket = page.evaluate("port => attack(port)", front.ports["visdom"])
    refused = [said for said in context.watch.complaints if "403" in said]
    context.watch.complaints = [said for said in context.watch.complaints if said not in refused]
    assert len(refused) >= 3
    environments = ours.request.post(f"{visdom}env_state", data={}).json()
    assert "stolen" not in environments and "main" in environments, (made, gone)
    assert socket == "refused"


def test_it_cannot_have_visdom_within_itself(front, context, another_site):
    visdom = front.serve("visdom")
    page = context.new_page()
    page.goto(another_site)
    page.evaluate("address => { document.body.innerHTML = `<iframe src='${address}'></iframe>`; }", visdom)
    page.wait_for_function("() => frames.length === 1")
    page.wait_for_timeout(1000)
    assert "refused: it comes from another site" in page.frames[1].inner_text("body")
    context.watch.complaints = [said for said in context.watch.complaints if "403" not in said]
    page.goto(another_site)
    page.evaluate("address => { document.body.innerHTML = `<a href='${address}'>watch</a>`; }", visdom)
    page.click("a")  # a link leads there
    page.get_by_text("online").first.wait_for()
