package kfp

import (
	"log"
	"net/http"
)

// mirror takes in what pipelines are objects of Kubernetes now.
func (s *Server) mirror() {
	if s.options.Native == nil {
		return
	}
	s.versions = without(s.versions, func(v *version) bool { return v.native })
	s.pipelines = without(s.pipelines, func(p *pipeline) bool { return p.native })
	known := map[string]bool{}
	for _, o := range s.options.Native() {
		created, namespace := stamp(o.CreatedAt.Unix()), s.namespace(o.Namespace)
		if !known[o.PipelineID] {
			known[o.PipelineID] = true
			s.pipelines = append(s.pipelines, &pipeline{ID: o.PipelineID, Name: o.Pipeline, DisplayName: o.Pipeline, CreatedAt: created, Namespace: namespace, native: true})
		}
		c, err := compile(o.Spec)
		if err != nil {
			log.Printf("kfp: PipelineVersion %s/%s: %v", o.Namespace, o.Name, err)
			continue
		}
		s.versions = append(s.versions, &version{PipelineID: o.PipelineID, ID: o.ID, Name: o.Name, DisplayName: o.Name, CreatedAt: created, Spec: c.document, compiled: c, native: true})
	}
}

// filterable refuses what lists of objects of Kubernetes are not filtered by: all but a part of a name.
func (s *Server) filterable(r *http.Request) error {
	if s.options.Native == nil {
		return nil
	}
	o, err := readOrder(r.URL.Query())
	if err != nil {
		return err
	}
	for _, p := range o.Filter {
		if p.Operation != "IS_SUBSTRING" {
			return fail(invalidArgument, "Filter %s is not implemented for Kubernetes pipeline store. Only substring is supported.", p.Operation)
		}
	}
	return nil
}
