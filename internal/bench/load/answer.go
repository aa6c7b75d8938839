package load

import (
	"bytes"
	"net"
)

// reader takes answers off a connection. Its buffer is reused.
type reader struct {
	conn net.Conn
	buf  []byte // read and not used yet
}

var (
	headEnd    = []byte("\r\n\r\n")
	lengthName = []byte("\r\ncontent-length:")
)

const maxHead = 64 << 10

// answer reads one whole answer and gives its status.
func (r *reader) answer() (status int, err error) {
	end := -1
	for {
		if end = bytes.Index(r.buf, headEnd); end >= 0 {
			break
		}
		if len(r.buf) > maxHead {
			return 0, errAnswer
		}
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	head := r.buf[:end+2]
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, errAnswer
	}
	status = int(head[9]-'0')*100 + int(head[10]-'0')*10 + int(head[11]-'0')
	length, ok := contentLength(head)
	if !ok {
		return 0, errAnswer
	}
	whole := end + len(headEnd) + length
	for len(r.buf) < whole {
		if err := r.more(); err != nil {
			return 0, err
		}
	}
	r.buf = r.buf[:copy(r.buf, r.buf[whole:])]
	return status, nil
}

func (r *reader) more() error {
	if len(r.buf) == cap(r.buf) {
		r.buf = append(make([]byte, 0, 2*cap(r.buf)), r.buf...)
	}
	n, err := r.conn.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	if n > 0 {
		return nil
	}
	return err
}

// contentLength finds the header whatever its case.
func contentLength(head []byte) (n int, ok bool) {
	for at := 0; at+len(lengthName) < len(head); at++ {
		if head[at] != '\r' || !bytes.EqualFold(head[at:at+len(lengthName)], lengthName) {
			continue
		}
		for _, c := range bytes.TrimLeft(head[at+len(lengthName):], " ") {
			if c < '0' || c > '9' {
				break
			}
			if n, ok = n*10+int(c-'0'), true; n > 1<<30 {
				return 0, false
			}
		}
		return n, ok
	}
	return 0, false
}
