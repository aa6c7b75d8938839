package comm

// Template is named content of an app with placeholders, as it is now.
type Template struct {
	App, ID ID
	Key     string // unique in the app; what requests name it by. It and Channel never change
	Channel Channel
	Name    string
	// Current is the newest version; the store keeps older ones beside it.
	Current   TemplateVersion
	CreatedAt Micros
	UpdatedAt Micros // of the last change of any kind: no two changes of a template have the same
}

// TemplateVersion is a template's content at one time. It never changes.
type TemplateVersion struct {
	Version   int    // from 1, one more at each change of the content
	Subject   string // EMAIL
	Body      string // HTML of an email, plain text of an SMS
	Text      string // EMAIL: the plain text beside the HTML; "" = made from the HTML
	CreatedAt Micros
}

// ControlAt is the place of the first C0 control character or DEL in s that is not
// among allowed, -1 when there is none.
func ControlAt(s, allowed string) int {
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != 0x7f {
			continue
		}
		known := false
		for j := range len(allowed) {
			known = known || allowed[j] == c
		}
		if !known {
			return i
		}
	}
	return -1
}
