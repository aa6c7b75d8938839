//go:build linux

package smtp

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
)

// nodeServer is the npm package smtp-server (of Nodemailer's authors), a second real server: another parser, other words, no CHUNKING.
// It asks for STARTTLS and a login, refuses some recipients, and writes each copy as Exim's transport does.
const nodeServer = `
const fs = require('fs'), path = require('path');
const { SMTPServer } = require('smtp-server');
const [dir] = process.argv.slice(1);
const read = name => fs.readFileSync(path.join(dir, name));
const refused = (code, text) => Object.assign(new Error(text), { responseCode: code });
let n = 0, connections = 0;
const server = new SMTPServer({
  name: 'mail.test', banner: 'of another make', key: read('key.pem'), cert: read('cert.pem'), size: 4 << 20, authMethods: ['PLAIN'], disableReverseLookup: true,
  onConnect(session, done) { fs.writeFileSync(path.join(dir, 'connections'), String(++connections)); done(); },
  onAuth(auth, session, done) {
    auth.username === 'relay-user' && auth.password === 'relay-pass' ? done(null, { user: auth.username }) : done(refused(535, '5.7.8 no such user or password'));
  },
  onRcptTo({ address }, session, done) {
    if (address.startsWith('nobody')) return done(refused(550, '5.1.1 no such mailbox here'));
    if (address.startsWith('full')) return done(refused(452, '4.2.2 that mailbox is full'));
    done();
  },
  onData(stream, session, done) {
    const parts = [];
    stream.on('data', part => parts.push(part));
    stream.on('end', () => {
      if (stream.sizeExceeded) return done(refused(552, '5.3.4 too large'));
      const mail = Buffer.concat(parts).toString('latin1').replaceAll('\r\n', '\n');
      for (const { address } of session.envelope.rcptTo) {
        const head = 'Return-path: <' + session.envelope.mailFrom.address + '>\nEnvelope-to: ' + address + '\n';
        const name = String(++n);
        fs.writeFileSync(path.join(dir, 'tmp-' + name), Buffer.from(head + mail, 'latin1'));
        fs.renameSync(path.join(dir, 'tmp-' + name), path.join(dir, 'mail', name));
      }
      done(null, 'queued as ' + n);
    });
  },
});
server.on('error', () => {}); // of one connection
server.listen(0, '127.0.0.1', () => console.log(server.server.address().port));
`

// startNodeServer starts it and answers its address and its folder.
func startNodeServer(t *testing.T, certs *providertest.Certs) (address, dir string) {
	t.Helper()
	const packages = "../../../test/vendors"
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed; run: make setup")
	}
	if _, err := os.Stat(filepath.Join(packages, "node_modules/smtp-server")); err != nil {
		t.Skip("the package smtp-server is not installed; run: make setup")
	}
	dir = t.TempDir()
	cert, key := certs.PEM(t, "mail.test", farOff())
	for name, content := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	var complaints bytes.Buffer
	cmd := exec.Command(node, "-e", nodeServer, dir)
	cmd.Dir, cmd.Stderr = packages, &complaints
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // Linux alone has it
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(complaints.String())
		}
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server does not start: %v", err)
	}
	return "127.0.0.1:" + strings.TrimSpace(port), dir
}

// TestASecondRealServer sends the difficult mails to a server of another make, and lets it refuse.
func TestASecondRealServer(t *testing.T) {
	certs := providertest.NewCerts(t)
	address, dir := startNodeServer(t, certs)
	sender := func(settings ...string) *Sender {
		s := newSender(t, providertest.DialTo(address), settings...)
		s.tls.RootCAs = certs.Pool
		return s
	}
	s := sender("username=relay-user", "password=relay-pass", "returnPath=bounces@shop.test")
	count := 200
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		count = 10_000
	}
	messages, copies := make([]*provider.Message, count), 0
	for i := range messages {
		messages[i] = difficult(t, i)
		copies += 1 + len(messages[i].Content.CC) + len(messages[i].Content.BCC)
	}
	begin := time.Now()
	sendAll(t, s, messages, 8)
	stored := func() []string {
		names, _ := filepath.Glob(filepath.Join(dir, "mail", "*"))
		return names
	}
	connections, _ := os.ReadFile(filepath.Join(dir, "connections"))
	t.Logf("%d mails in %v over %s connections", count, time.Since(begin).Round(time.Millisecond), connections)
	compareStored(t, stored(), s, messages, copies)

	for to, want := range map[string]struct {
		class provider.Class
		code  string
	}{"nobody@example.com": {provider.PermanentMessage, "550 5.1.1"}, "full@example.com": {provider.Transient, "452 4.2.2"}} {
		m := greet(t)
		m.Content.To = to
		_, err := s.Send(t.Context(), m)
		wantError(t, err, want.class, want.code)
	}
	_, err := sender("username=relay-user", "password=wrong").Send(t.Context(), greet(t))
	wantError(t, err, provider.Account, "535 5.7.8")
	_, err = sender().Send(t.Context(), greet(t))
	wantError(t, err, provider.PermanentHere, "530")
	large := greet(t)
	large.Content.Body = fmt.Sprintf("<p>%s</p>", strings.Repeat("x", 5<<20))
	_, err = s.Send(t.Context(), large)
	wantError(t, err, provider.PermanentHere, "552 5.3.4")
	if n := len(stored()); n != copies {
		t.Errorf("%d copies are stored after refusals, want %d", n, copies)
	}
}
