//go:build linux

package smtp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/freeport"
	"github.com/commserver/commserver/internal/mime/mimetest"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
)

// exim is a real mail server in a directory of its own, run without privileges.
type exim struct {
	dir  string
	port int
}

// eximConf asks for STARTTLS and a login before any recipient, and writes each
// copy of each mail into a file of its own, with the envelope noted on top.
const eximConf = `
primary_hostname = mail.test
exim_path = %[1]s/exim
exim_user = %[2]d
exim_group = %[2]d
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%s
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[3]d
tls_advertise_hosts = *
tls_certificate = %[1]s/cert.pem
tls_privatekey = %[1]s/key.pem
acl_smtp_rcpt = rcpt
acl_smtp_data = data
host_lookup =
rfc1413_query_timeout = 0s
never_users =
keep_environment =
deliver_drop_privilege
message_size_limit = 30M
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
check_spool_space = 0
check_spool_inodes = 0
log_selector = +smtp_connection
begin acl
rcpt:
  deny !encrypted = *
  deny !authenticated = *
  accept
data:
  accept
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  directory = %[1]s/mail
  maildir_format
  envelope_to_add
  return_path_add
  user = %[2]d
  group = %[2]d
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{relay-user}}{eq{$auth3}{relay-pass}}}}
  server_set_id = $auth2
  server_advertise_condition = ${if def:tls_in_cipher}
`

// startExim runs Exim (Debian's exim4-daemon-light) as an unprivileged user: our
// own, or nobody when we are root. A copy of the program is used so that its
// set-uid bit plays no part.
func startExim(t *testing.T, certs *providertest.Certs) *exim {
	t.Helper()
	program := findExim(t)
	dir, err := os.MkdirTemp("", "commserver-exim-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ports, err := freeport.On(1)
	if err != nil {
		t.Fatal(err)
	}
	e := &exim{dir: dir, port: ports[0]}
	uid := os.Getuid()
	if uid == 0 {
		uid = 65534
	}
	cert, key := certs.PEM(t, "mail.test", farOff())
	for name, content := range map[string][]byte{
		"exim": program, "exim.conf": fmt.Appendf(nil, eximConf, dir, uid, e.port), "cert.pem": cert, "key.pem": key,
	} {
		e.write(t, name, content, uid)
	}
	for _, d := range []string{"", "spool", "log", "mail"} {
		path := filepath.Join(dir, d)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, uid, -1); err != nil {
			t.Fatal(err)
		}
	}
	e.run(t, uid)
	return e
}

func findExim(t *testing.T) []byte {
	t.Helper()
	for _, name := range []string{"exim4", "/usr/sbin/exim4", "exim", "/usr/sbin/exim"} {
		if path, err := exec.LookPath(name); err == nil {
			program, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return program
		}
	}
	const hint = "this test needs a real mail server: apt-get install -y --no-install-recommends exim4-daemon-light"
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 { // who cannot install it tests without; scripts/setup.sh has said so
		t.Skip(hint)
	}
	t.Fatal(hint)
	return nil
}

func (e *exim) write(t *testing.T, name string, content []byte, uid int) {
	t.Helper()
	mode := os.FileMode(0o600)
	if name == "exim" {
		mode = 0o700
	}
	path := filepath.Join(e.dir, name)
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
	// Exim reads its configuration with the rights of whoever calls it and refuses one that others may write.
	if err := os.Chown(path, uid, -1); err != nil {
		t.Fatal(err)
	}
}

func (e *exim) run(t *testing.T, uid int) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(filepath.Join(e.dir, "exim"), "-C", filepath.Join(e.dir, "exim.conf"), "-bdf")
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, e.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // Linux alone has it
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start exim: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("exim said: %s\n%s", out.String(), e.log("main", 3000))
		}
	})
	e.await(t, "the server to listen", func() bool {
		return strings.Contains(e.log("main", 1<<20), "listening for SMTP")
	})
}

// await polls another process's work: there is nothing to wait on.
func (e *exim) await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s; log: %s", what, e.log("main", 2000))
		}
	}
}

// log answers the last n octets of a log.
func (e *exim) log(name string, n int) string {
	text, _ := os.ReadFile(filepath.Join(e.dir, "log", name)) // not there yet: empty
	return string(text[max(0, len(text)-n):])
}

// stored answers the names of the stored copies.
func (e *exim) stored() []string {
	names, _ := filepath.Glob(filepath.Join(e.dir, "mail", "new", "*"))
	return names
}

// connections counts those that the server logged.
func (e *exim) connections() int {
	return strings.Count(e.log("main", 1<<30), "(TCP/IP connection count")
}

// difficult makes the i-th mail, from everything that goes wrong in practice.
func difficult(t *testing.T, i int) *provider.Message {
	rnd := rand.New(rand.NewPCG(uint64(i), 4711))
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	var body strings.Builder
	for range 1 + rnd.IntN(8) {
		body.WriteString(pick("<p>Dear customer,</p>\n", ".\n", "..\r\n", ".leading dot\r", "bare\rCR\n", "\n.\n", "\r\n.\r\n",
			"From the start\n", strings.Repeat("x", 2000)+"\n", strings.Repeat("<b>word</b> ", 200), "Akwaaba, Ɛyɛ 日本語 😀\n",
			"trailing space \n", "\tTab\t\n", "=3D equals\n", strings.Repeat("é", 600)+"\n", "\x00\x1b\x7f\n", "QUIT\r\n", "RSET\n"))
	}
	c := comm.Content{
		To:      fmt.Sprintf("user%d@example.com", i),
		From:    pick("Shop <no-reply@shop.test>", "Großhandel Süd <süd@shop.test>", `"Mensah, Ama" <ama@shop.test>`, "日本語 <jp@shop.test>", "plain@shop.test"),
		Subject: pick("Order ", "Bestätigung für ", "確認 ", strings.Repeat("a long subject ", 20)) + strconv.Itoa(i),
		Body:    body.String(),
		Headers: map[string]string{"X-Number": strconv.Itoa(i), "X-Ümlaut": ""},
	}
	c.From = strings.Replace(c.From, "süd@", "sued@", 1)
	delete(c.Headers, "X-Ümlaut")
	if i%3 == 0 {
		c.Text = "text\r.\n" + body.String()
	}
	if i%10 == 0 {
		c.CC, c.BCC = []string{fmt.Sprintf("Kofi Ånnan <cc%d@example.com>", i)}, []string{fmt.Sprintf("bcc%d@example.com", i)}
	}
	var files []comm.Attachment
	for n := range rnd.IntN(3) {
		content := make([]byte, rnd.IntN(20000))
		for k := range content {
			content[k] = byte(rnd.Uint32())
		}
		files = append(files, comm.Attachment{Filename: pick("a.pdf", "résumé.pdf", "請求書.pdf", `odd"name;.txt`) + strconv.Itoa(n),
			ContentType: pick("application/pdf", "text/plain", "image/png"), Content: content})
	}
	m := providertest.Email(t, c, files...)
	m.ID = comm.NewID(comm.Micros(1_790_000_000_000_000 + int64(i)*1000))
	return m
}

// TestRealServer sends difficult mails to Exim over STARTTLS with a login, in
// parallel, and compares what Exim stored with what was meant: envelope,
// octets, and every decoded part.
func TestRealServer(t *testing.T) {
	count, workers := 300, 8
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		count = 10_000
	}
	certs := providertest.NewCerts(t)
	server := startExim(t, certs)
	s := newSender(t, providertest.DialTo(fmt.Sprintf("127.0.0.1:%d", server.port)),
		"username=relay-user", "password=relay-pass", "returnPath=bounces@shop.test")
	s.tls.RootCAs = certs.Pool

	messages := make([]*provider.Message, count)
	copies := 0
	for i := range messages {
		messages[i] = difficult(t, i)
		copies += 1 + len(messages[i].Content.CC) + len(messages[i].Content.BCC)
	}
	begin := time.Now()
	sendAll(t, s, messages, workers)
	took := time.Since(begin)
	server.await(t, "all copies", func() bool { return len(server.stored()) >= copies })
	conns := server.connections()
	t.Logf("%d mails in %v: %.0f/s over %d connections", count, took.Round(time.Millisecond), float64(count)/took.Seconds(), conns)
	if limit := workers * (1 + count/workers/maxMails + 2); conns > limit {
		t.Errorf("%d connections for %d mails, want at most %d", conns, count, limit)
	}
	compareStored(t, server.stored(), s, messages, copies)
	if rejects := server.log("reject", 1000) + server.log("panic", 1000); rejects != "" {
		t.Errorf("the server complains: %s", rejects)
	}
}

func sendAll(t *testing.T, s *Sender, messages []*provider.Message, workers int) {
	t.Helper()
	next := make(chan *provider.Message)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for m := range next {
				sent := *m // its content is dropped on the way
				r, err := s.Send(t.Context(), &sent)
				if err != nil || r.Ref == "" || strings.Contains(r.Detail, "refused") {
					t.Errorf("Send: %+v %v", r, err)
				}
			}
		})
	}
	for _, m := range messages {
		next <- m
	}
	close(next)
	all.Wait()
}

// compareStored takes every stored copy apart and ticks it off.
func compareStored(t *testing.T, files []string, s *Sender, messages []*provider.Message, copies int) {
	t.Helper()
	if len(files) != copies {
		t.Errorf("%d copies stored, want %d", len(files), copies)
	}
	due := map[string]*provider.Message{} // by recipient
	for _, m := range messages {
		for _, to := range append(append([]string{m.Content.To}, m.Content.CC...), m.Content.BCC...) {
			to = strings.TrimSuffix(to[strings.LastIndexByte(to, '<')+1:], ">")
			due[to] = m
		}
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		envelope, mail, found := bytes.Cut(raw, []byte("\nDate: "))
		mail = append([]byte("Date: "), mail...)
		to := between(string(envelope), "Envelope-to: ", "\n")
		m := due[to]
		delete(due, to)
		if !found || m == nil {
			t.Fatalf("a copy for %q that nobody sent:\n%s", to, raw)
		}
		if from := between(string(envelope), "Return-path: <", ">"); from != "bounces@shop.test" {
			t.Errorf("envelope sender %q", from)
		}
		compareMail(t, s, m, mail)
		if t.Failed() {
			return
		}
	}
	if len(due) > 0 {
		t.Errorf("%d copies are missing", len(due))
	}
}

func between(text, start, end string) string {
	_, rest, _ := strings.Cut(text, start)
	rest, _, _ = strings.Cut(rest, end)
	return rest
}

func compareMail(t *testing.T, s *Sender, m *provider.Message, mail []byte) {
	t.Helper()
	j, _, refusal := s.prepare(m, nil)
	if refusal != nil {
		t.Fatal(refusal)
	}
	var sent bytes.Buffer
	if _, err := j.mail.WriteTo(&sent); err != nil {
		t.Fatal(err)
	}
	if want := bytes.ReplaceAll(sent.Bytes(), []byte("\r\n"), []byte("\n")); !bytes.Equal(mail, want) {
		t.Errorf("stored\n%q\nsent\n%q", mail, want)
		return
	}
	read, err := mimetest.Read(mail)
	if err != nil {
		t.Fatalf("%v\n%s", err, mail)
	}
	c := m.Content
	same := func(what, got, want string) {
		if got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	same("subject", read.Decoded("Subject"), c.Subject)
	same("number", read.Header.Get("X-Number"), c.Headers["X-Number"])
	same("html", mimetest.Canonical(read.HTML), mimetest.Canonical(c.Body))
	if c.Text != "" {
		same("text", mimetest.Canonical(read.Text), mimetest.Canonical(c.Text))
	}
	if from, err := read.Header.AddressList("From"); err != nil || !strings.Contains(c.From, from[0].Name) || !strings.Contains(c.From, from[0].Address) {
		t.Errorf("from %v, want %s (%v)", from, c.From, err)
	}
	if len(read.Files) != len(m.Files) {
		t.Fatalf("%d files, want %d", len(read.Files), len(m.Files))
	}
	for i, f := range read.Files {
		same("file name", f.Name, m.Files[i].Filename)
		if !bytes.Equal(f.Content, m.Files[i].Content) {
			t.Errorf("file %s differs", f.Name)
		}
	}
}

// TestRealServerRefuses: the login and the need for encryption are the server's, too.
func TestRealServerRefuses(t *testing.T) {
	certs := providertest.NewCerts(t)
	server := startExim(t, certs)
	dial := providertest.DialTo(fmt.Sprintf("127.0.0.1:%d", server.port))
	wrong := newSender(t, dial, "username=relay-user", "password=wrong")
	wrong.tls.RootCAs = certs.Pool
	_, err := wrong.Send(t.Context(), greet(t))
	wantError(t, err, provider.Account, "535")
	nobody := newSender(t, dial)
	nobody.tls.RootCAs = certs.Pool
	_, err = nobody.Send(t.Context(), greet(t))
	wantError(t, err, provider.PermanentHere, "550")
	stranger := newSender(t, dial, "username=relay-user", "password=relay-pass")
	_, err = stranger.Send(t.Context(), greet(t))
	wantError(t, err, provider.Account, "tls_certificate")
	if n := len(server.stored()); n != 0 {
		t.Errorf("%d mails were stored", n)
	}
}
