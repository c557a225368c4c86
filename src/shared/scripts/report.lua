-- KEYS[3]: the report of the key. One that has expired, or that the server has evicted, is none.
local stored = redis.call('HMGET', KEYS[3], 'fence', 'kind', 'at', 'changed', 'body', 'mac', 'answers', 'until')
local report = nil
if now < (tonumber(stored[8]) or 0) then
  report = {fence = tonumber(stored[1]) or 0, purged = stored[2] == 'purged', answers = tonumber(stored[7]) or 0}
end

local function newer_than(have)
  if not report or report.purged or report.fence <= have or report.fence <= purged then return nil end
  local age = math.max(now - (tonumber(stored[3]) or 0), 0)
  local unchanged_for = math.max(now - (tonumber(stored[4]) or 0), 0)
  return {'report', report.fence, stored[2], age, unchanged_for, stored[5], stored[6]}
end
