package forge

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// style gives pages their style sheets, from the sources in Gitea's module: browsers read them as
// they are, without the build of Gitea's front end, which needs Node. What that would add are the
// classes of Tailwind, of which utilities makes those that pages use most, and its scripts. In their
// place are empty ones: a page that misses them puts up a dialogue that a browser without a window
// waits for.
func (s *Server) style(static string) error {
	sources := filepath.Join(static, "web_src", "css")
	assets := filepath.Join(s.Dir, "custom", "public", "assets")
	sheets := filepath.Join(assets, "css")
	if err := os.CopyFS(sheets, os.DirFS(sources)); err != nil {
		return err
	}
	if err := os.CopyFS(sheets, os.DirFS(filepath.Join(sources, "themes"))); err != nil {
		return err
	}
	colors, err := os.ReadFile(filepath.Join(sources, "themes", "theme-gitea-light.css"))
	if err != nil {
		return err
	}
	templates := filepath.Join(s.Dir, "custom", "templates", "custom")
	for path, content := range map[string]string{
		filepath.Join(sheets, "utilities.css"):          utilities(string(colors)),
		filepath.Join(templates, "header.tmpl"):         `<link rel="stylesheet" href="{{AssetUrlPrefix}}/css/utilities.css">`,
		filepath.Join(assets, ".vite", "manifest.json"): "{}", // or Gitea misses it aloud
		filepath.Join(assets, "js", "iife.js"):          "",
		filepath.Join(assets, "js", "index.js"):         "",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// named are classes that say one thing.
var named = map[string]string{
	"hidden": "display: none", "invisible": "visibility: hidden", "block": "display: block", "inline-block": "display: inline-block",
	"inline": "display: inline", "contents": "display: contents", "flex": "display: flex", "flex-1": "flex: 1 1 0%",
	"flex-wrap": "flex-wrap: wrap", "flex-col": "flex-direction: column", "shrink-0": "flex-shrink: 0", "flex-shrink-0": "flex-shrink: 0",
	"items-center": "align-items: center", "items-start": "align-items: flex-start", "self-start": "align-self: flex-start",
	"justify-between": "justify-content: space-between", "justify-center": "justify-content: center", "justify-end": "justify-content: flex-end",
	"text-left": "text-align: left", "text-center": "text-align: center", "text-right": "text-align: right",
	"font-mono": "font-family: var(--fonts-monospace)", "font-semibold": "font-weight: var(--font-weight-semibold)",
	"font-normal": "font-weight: var(--font-weight-normal)", "text-xs": "font-size: 11px", "text-12": "font-size: 12px", "text-base": "font-size: 14px",
	"align-middle": "vertical-align: middle", "relative": "position: relative", "w-full": "width: 100%", "w-auto": "width: auto", "h-full": "height: 100%",
	"overflow-visible": "overflow: visible", "overflow-auto": "overflow: auto", "overflow-x-scroll": "overflow-x: scroll",
	"whitespace-nowrap": "white-space: nowrap", "whitespace-pre": "white-space: pre", "break-anywhere": "overflow-wrap: anywhere",
	"no-underline": "text-decoration: none", "line-through": "text-decoration: line-through", "pointer-events-none": "pointer-events: none",
	"rounded": "border-radius: var(--border-radius)", "float-right": "float: right", "ml-auto": "margin-left: auto",
}

// sides are what the letters after m and p in the name of a class stand for.
var sides = []struct{ letter, suffix string }{
	{"", ""}, {"x", "-inline"}, {"y", "-block"}, {"t", "-top"}, {"r", "-right"}, {"b", "-bottom"}, {"l", "-left"},
}

var colorVariable = regexp.MustCompile(`--color-([a-z0-9-]+):`)

// utilities are classes of Tailwind, with Gitea's prefix.
func utilities(theme string) string {
	var b strings.Builder
	rule := func(class, declaration string) {
		fmt.Fprintf(&b, ".tw-%s { %s !important; }\n", class, declaration)
	}
	for step := range 17 {
		size := fmt.Sprintf("%grem", float64(step)/4)
		for _, side := range sides {
			rule(fmt.Sprintf("m%s-%d", side.letter, step), "margin"+side.suffix+": "+size)
			rule(fmt.Sprintf("p%s-%d", side.letter, step), "padding"+side.suffix+": "+size)
		}
		rule(fmt.Sprintf("gap-%d", step), "gap: "+size)
		rule(fmt.Sprintf("w-%d", step), "width: "+size)
	}
	for _, color := range colorVariable.FindAllStringSubmatch(theme, -1) {
		rule("text-"+color[1], "color: var(--color-"+color[1]+")")
		rule("bg-"+color[1], "background-color: var(--color-"+color[1]+")")
	}
	for class, declaration := range named {
		rule(class, declaration)
	}
	rule("hidden.tw-hidden", named["hidden"]) // wins over all others
	return b.String()
}
