-- expire: success or error -> the same, when its time is over: its files are the caller's to delete
--
-- ARGV[2]  how many jobs at most
-- ARGV[3]  for how long (ms) nobody else gets them
-- Returns  their keys, each with its record, without the status line, which may be large
-- Tells    nobody

-- Of what there is to know of files, a thousand or so: jobs may have made many, and `forget` takes
-- all of them out of the index at once.
local MAX_BYTES = 200000

local found, bytes = {}, 0
local due = redis.call('ZRANGEBYSCORE', base .. 'expiry', '-inf', now, 'LIMIT', 0, ARGV[2])
for _, key in ipairs(due) do
  if bytes > MAX_BYTES then break end
  local is = redis.call('HMGET', base .. 'job:' .. key, 'version', 'state', 'task', 'kind',
    'account', 'queued', 'files', 'expires', 'attempt')
  if is[1] then
    put('expiry', now + ARGV[3], key)
    bytes = bytes + #(is[7] or '')
    found[#found + 1] = {key, is[1], is[2], '', unpack(is, 3, 9)}
  else
    drop('expiry', key)
  end
end
deliver()
return found
