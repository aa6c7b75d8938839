package smtp

import (
	"bufio"
	"bytes"
)

// dotWriter writes a mail as SMTP content: a dot that begins a line is doubled
// (RFC 5321 section 4.5.2). What it is given has CRLF line ends throughout.
type dotWriter struct {
	out *bufio.Writer
	mid bool // within a line
}

// Write implements io.Writer.
func (d *dotWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if !d.mid && rest[0] == '.' {
			if err := d.out.WriteByte('.'); err != nil {
				return 0, err
			}
		}
		end := bytes.Index(rest, []byte("\n."))
		if end < 0 {
			d.mid = rest[len(rest)-1] != '\n'
			if _, err := d.out.Write(rest); err != nil {
				return 0, err
			}
			break
		}
		d.mid = false
		if _, err := d.out.Write(rest[:end+1]); err != nil {
			return 0, err
		}
		rest = rest[end+1:]
	}
	return len(p), nil
}

// end writes the final dot and hands everything to the network. Only when it
// answers nil has the whole of the dot been handed over.
func (d *dotWriter) end() error {
	if d.mid {
		_, _ = d.out.WriteString("\r\n") // a bufio.Writer repeats its error at Flush
	}
	_, _ = d.out.WriteString(".\r\n")
	return d.out.Flush()
}
