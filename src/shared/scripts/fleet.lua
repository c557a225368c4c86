-- KEYS[1]: what must be lost together or not at all. KEYS[2]: the change feed.
local fleet = KEYS[1]
local fields = redis.call('HMGET', fleet, 'epoch', 'sequence', 'day', 'spent', 'locked_until', 'next_call', 'hold_until', 'purged')
local epoch = fields[1]
local sequence = tonumber(fields[2]) or 0
local day = tonumber(fields[3]) or 0
local spent = tonumber(fields[4]) or 0
local locked_until = tonumber(fields[5]) or 0
local purged = tonumber(fields[8]) or 0

-- A time to wait for. One that is more than a minute ahead was set before the clock was put back: it counts no more.
local function ahead(field)
  local at = tonumber(field) or 0
  if at > now + 60000 then return 0 end
  return at
end

local function tell(...)
  redis.call('XADD', KEYS[2], 'MAXLEN', 2048, '*', ...)
end
