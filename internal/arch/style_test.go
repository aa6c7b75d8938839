package arch

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// checkNames refuses packages named after nothing.
func checkNames(p pkg) []string {
	buckets := []string{"util", "utils", "common", "helper", "helpers", "base", "misc", "types", "model", "models", "lib", "shared", "stuff"}
	name := p.path[strings.LastIndexByte(p.path, '/')+1:]
	for _, f := range p.files {
		declared := strings.TrimSuffix(f.syntax.Name.Name, "_test")
		if slices.Contains(buckets, declared) || slices.Contains(buckets, name) {
			return []string{fmt.Sprintf("%s: a package called %q attracts everything that has no place; name it after the one thing it is about", p.path, declared)}
		}
	}
	return nil
}

// checkComment asks for exactly one package comment that says enough.
func checkComment(p pkg) []string {
	files := p.product()
	if len(files) == 0 {
		files = p.files // a folder of tests explains itself in one of them
	}
	var bad, texts []string
	for _, f := range files {
		if f.syntax.Doc == nil {
			continue
		}
		texts = append(texts, f.path)
		text := f.syntax.Doc.Text()
		want := "Package " + f.syntax.Name.Name + " "
		if f.syntax.Name.Name == "main" {
			want = "Command "
		}
		if !strings.HasPrefix(text, want) || len(text) < 80 {
			bad = append(bad, fmt.Sprintf("%s: the package comment must begin with %q and say what the package is for, what it promises and what it does not do", f.path, want))
		}
	}
	if len(texts) != 1 {
		bad = append(bad, fmt.Sprintf("%s has %d package comments %v; there must be exactly one, so that there is one place to look", p.path, len(texts), texts))
	}
	return bad
}

// checkSizes holds files and functions against their limits; long counts what is
// over the aim but allowed.
func checkSizes(p pkg) (bad []string, longFileCount, longFunctionCount int) {
	for _, f := range p.files {
		limit := fileLimit
		if f.test {
			limit = testFileLimit
		}
		if f.generated {
			continue
		}
		if f.lines > limit && longFiles()[f.path] == "" {
			bad = append(bad, fmt.Sprintf("%s has %d lines, more than %d: split it by step or noun", f.path, f.lines, limit))
		}
		if f.test {
			continue
		}
		if f.lines > fileAim {
			longFileCount++
		}
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := p.fset.Position(fn.End()).Line - p.fset.Position(fn.Pos()).Line + 1
			if lines > functionAim {
				longFunctionCount++
			}
			if name := p.path + "." + functionName(fn); lines > functionLimit && longFunctions()[name] == "" {
				bad = append(bad, fmt.Sprintf("%s: %s has %d lines, more than %d: give its steps names", p.position(fn), functionName(fn), lines, functionLimit))
			}
		}
	}
	return bad, longFileCount, longFunctionCount
}

func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	receiver := fn.Recv.List[0].Type
	for {
		switch x := receiver.(type) {
		case *ast.StarExpr:
			receiver = x.X
		case *ast.IndexExpr:
			receiver = x.X
		case *ast.IndexListExpr:
			receiver = x.X
		case *ast.Ident:
			return x.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}

// checkState refuses init functions and package variables that change: what a
// program does must follow from what main builds.
func checkState(p pkg) []string {
	var bad []string
	variables := make(map[string]bool)
	files := p.product()
	for _, f := range files {
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					bad = append(bad, fmt.Sprintf("%s: init runs behind the reader's back; build the thing where it is used, or list it by name", p.position(d)))
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					bad = append(bad, p.declare(d, variables)...)
				}
			}
		}
	}
	for _, f := range files {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, target := range n.Lhs {
						bad = append(bad, p.assigned(target, variables)...)
					}
				}
			case *ast.IncDecStmt:
				bad = append(bad, p.assigned(n.X, variables)...)
			case *ast.RangeStmt:
				if n.Tok == token.ASSIGN {
					bad = append(bad, p.assigned(n.Key, variables)...)
					bad = append(bad, p.assigned(n.Value, variables)...)
				}
			}
			return true
		})
	}
	return bad
}

// declare notes package variables, and refuses those whose type is there to change.
func (p pkg) declare(d *ast.GenDecl, variables map[string]bool) []string {
	var bad []string
	for _, spec := range d.Specs {
		v, ok := spec.(*ast.ValueSpec)
		if !ok {
			continue
		}
		for _, name := range v.Names {
			variables[name.Name] = name.Name != "_"
		}
		selector, ok := v.Type.(*ast.SelectorExpr)
		if !ok || strings.HasPrefix(p.path, "test/") {
			continue
		}
		if from, ok := selector.X.(*ast.Ident); ok && (from.Name == "atomic" || from.Name == "sync" && selector.Sel.Name != "Pool") {
			bad = append(bad, fmt.Sprintf("%s: a package variable of type %s.%s is state that every test and every server in the process shares; make it a field", p.position(v), from.Name, selector.Sel.Name))
		}
	}
	return bad
}

// assigned reports an assignment to a package variable. The parser resolves names
// within a file, so a name without an object is a package's own or an import.
func (p pkg) assigned(target ast.Expr, variables map[string]bool) []string {
	for target != nil {
		switch x := target.(type) {
		case *ast.IndexExpr:
			target = x.X
		case *ast.SelectorExpr:
			target = x.X
		case *ast.StarExpr:
			target = x.X
		case *ast.ParenExpr:
			target = x.X
		case *ast.Ident:
			if !variables[x.Name] {
				return nil
			}
			if x.Obj != nil {
				spec, ok := x.Obj.Decl.(*ast.ValueSpec)
				if !ok || !p.packageLevel(spec) {
					return nil
				}
			}
			return []string{fmt.Sprintf("%s: the package variable %s changes after the start; make it a field of what needs it", p.position(x), x.Name)}
		default:
			return nil
		}
	}
	return nil
}

func (p pkg) packageLevel(spec *ast.ValueSpec) bool {
	for _, f := range p.files {
		for _, d := range f.syntax.Decls {
			if g, ok := d.(*ast.GenDecl); ok && slices.Contains(g.Specs, ast.Spec(spec)) {
				return true
			}
		}
	}
	return false
}

// checkDials refuses connections that do not pass the guard.
func checkDials(p pkg) []string {
	if p.is(dialers()) {
		return nil
	}
	forbidden := map[string][]string{
		"net":  {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "Dialer"},
		"tls":  {"Dial", "DialWithDialer", "Dialer"},
		"smtp": {"Dial", "SendMail"},
		"http": {"Get", "Head", "Post", "PostForm", "DefaultClient", "DefaultTransport"},
	}
	var bad []string
	for _, f := range p.product() {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				from, ok := selector.X.(*ast.Ident)
				if ok && from.Obj == nil && slices.Contains(forbidden[from.Name], selector.Sel.Name) {
					bad = append(bad, fmt.Sprintf("%s: %s.%s goes anywhere, private networks included; connections go through internal/guard", p.position(n), from.Name, selector.Sel.Name))
				}
			}
			if name, ok := n.(*ast.Ident); ok && name.Name == "InsecureSkipVerify" {
				bad = append(bad, fmt.Sprintf("%s: whoever answers would be believed; certificates are always verified", p.position(n)))
			}
			if literal, ok := n.(*ast.CompositeLit); ok && isHTTPClient(literal) && !sets(literal, "Transport") {
				bad = append(bad, fmt.Sprintf("%s: an http.Client without a Transport goes anywhere; give it the guard's", p.position(n)))
			}
			return true
		})
	}
	return bad
}

func isHTTPClient(literal *ast.CompositeLit) bool {
	selector, ok := literal.Type.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Client" {
		return false
	}
	from, ok := selector.X.(*ast.Ident)
	return ok && from.Name == "http"
}

func sets(literal *ast.CompositeLit, field string) bool {
	return slices.ContainsFunc(literal.Elts, func(e ast.Expr) bool {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		name, ok := pair.Key.(*ast.Ident)
		return ok && name.Name == field
	})
}
