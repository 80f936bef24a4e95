# METADATA
# title: Who may read audit events
# description: |
#   The log itself is public and shows only salted hashes. The events behind it are read by the
#   data-protection officer and by an auditor, and the search is itself an event.
package hub.audit_read

# METADATA
# title: The answer
# description: Allowed only if nothing refuses. Reasons are in alphabetical order.
# entrypoint: true
default decision := {"allow": false, "reasons": ["undecided"], "obligations": {}}

decision := {"allow": true, "reasons": [], "obligations": {"record_search": true}} if count(refused) == 0

decision := {"allow": false, "reasons": sort(refused), "obligations": {}} if count(refused) > 0

# METADATA
# title: Only the data-protection officer and an auditor
refused contains "role_may_not_read_events" if not role_reads_events

role_reads_events if input.actor.role in ["dpo", "auditor"]
