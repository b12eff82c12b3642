-- progress: executing -> executing, with a newer status
--
-- ARGV[2]… fours: key, token, status line, files kept so far (JSON), or '' for those of before
-- Returns  1 for each that was written, 0 for each that the worker holds no longer
-- Tells    whoever waits

local answers = {}
for index = 2, #ARGV, 4 do
  local key, token, line = ARGV[index], ARGV[index + 1], ARGV[index + 2]
  local job = base .. 'job:' .. key
  local is = redis.call('HMGET', job, 'token', 'state', 'version')
  local is_held = is_held_by(token, is)
  if is_held then
    local version = is[3] + 1
    redis.call('HSET', job, 'version', version, 'line', line)
    if ARGV[index + 3] ~= '' then redis.call('HSET', job, 'files', ARGV[index + 3]) end
    tell(key, version, 'executing', line)
  end
  answers[#answers + 1] = is_held and 1 or 0
end
deliver()
return answers
